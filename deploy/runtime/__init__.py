"""Open a bundle and compute its graphs: ONNX Runtime, OpenVINO, TensorRT."""
