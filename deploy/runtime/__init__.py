"""An open bundle and the engines that compute its graphs: ONNX Runtime, OpenVINO, TensorRT.

Public through `cavsync.deploy`: `Bundle`, `EnginePool`.
"""
