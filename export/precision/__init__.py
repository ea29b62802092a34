"""Convert graphs to half precision, and to 8-bit integers or floats for CPUs and TensorRT."""
