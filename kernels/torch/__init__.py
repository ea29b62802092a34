"""Operations by PyTorch's own kernels, arranged for speed or memory."""
