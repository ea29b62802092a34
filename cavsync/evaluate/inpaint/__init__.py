"""Inpainting: how well a model's decoder fills in hidden patches.

- `measure.inpaint` hides patches of clips with the masks of `sweep` and measures the error of `reconstruct`;
  `result.inpaint_result` makes the result.
- `examples` writes inpainted clips as images and audio, which `griffin_lim` makes from the log-mel.

Imports `cavsync.evaluate.inputs` (for the model's decoder) and `cavsync.evaluate.results`.
"""
