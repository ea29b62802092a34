"""The commands of `cavsync eval`."""
