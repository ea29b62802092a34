"""Face graphs: TensorFlow Lite models converted to ONNX and compared with their original runtime.

Not public: `make face-graphs` uses it to make the files of `models/faces`.
"""
