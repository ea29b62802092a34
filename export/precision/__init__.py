"""Graphs in fewer bits: half precision, and 8-bit integers for CPUs and for TensorRT."""
