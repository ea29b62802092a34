"""Classification: how well a classifier recognises the classes of clips.

- `classifier.open_classifier` opens a classifier with its classes.
- `measure.classify` scores clips; `result.classify_result` computes the figures of `metrics` with the intervals of
  `class_intervals` and makes the result.

Imports `cavsync.evaluate.inputs` and `cavsync.evaluate.results`.
"""
