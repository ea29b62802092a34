"""Operations by xformers."""
