"""The face path of a bundle: a face model's encoders joined to it, checked against the model and calibrated.

Not public: `cavsync export` uses it. `convert` and `tflite` make the files of `models/faces` for `make face-graphs`:
they convert TensorFlow Lite models to ONNX and compare them with their original runtime.
"""
