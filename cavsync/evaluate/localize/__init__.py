"""Localisation: how well a model finds the object in an image that makes a given sound.

- `data_sets.open_localization_set` opens a data set: `generated_objects`, `ade20k_sound` or `vgg_ss`, which are made of
  the cases of `case`; `middle_frame` and `image_files` read their media.
- `measure.localize` scores a model, with the heat maps of `heat_map` and the figures of `metrics`;
`result.localize_result`
  makes the result.
- `examples` writes cases as images, `overlay_files` and `overlay_video` clips as videos, both with `overlay`.

Imports `cavsync.evaluate.inputs` and `cavsync.evaluate.results`.
"""
