"""Models and clips opened by their paths, for all evaluation tasks.

- `encoders`: `Encoder`, the encoders of a run, a published checkpoint or a bundle behind one interface
(`open_encoder`);
  `decoder`: a model with its decoder; `model_bundle`: a checkpoint as a bundle in memory; `on_device`.
- `eval_clips`: `open_eval_clips` opens the clips of a test, chosen by `clip_selection`; `source_files` are their files.
- `clip_inputs`: the encoders' inputs of a clip.

Imports `cavsync.evaluate.results`, `cavsync.data`, `cavsync.model` and `cavsync.deploy`.
"""
