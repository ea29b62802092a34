"""Triton kernels: one file per operation, device code first, then the operator that PyTorch sees."""
