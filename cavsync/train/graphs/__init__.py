"""A training step as CUDA graphs: the device repeats what was recorded once, and does not wait for the host."""
