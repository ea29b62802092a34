"""Sync: how well a bundle finds injected offsets, chooses between in sync and shifted, and names one of 21 classes.

- `cases.sync_cases` reads the clips of a test, `trial_list` its JSON lines; `plan.plan_of` draws the trials of a clip.
- `measure.evaluate_sync` runs the trials, with `clip_rows`, `offset_classes` and the baseline of `motion_baseline` and
  `baseline_inputs`; `metrics.sync_metrics` computes the figures, `protocol.sync_protocol` records the choices, and
  `result.sync_result` makes the result.
- `offset_rows`: scores of clips compared with their known offsets, for `cavsync demo`.

Imports `cavsync.evaluate.inputs`, `cavsync.evaluate.results` and the scorer of `cavsync.deploy`.
"""
