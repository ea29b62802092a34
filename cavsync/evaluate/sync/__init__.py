"""Sync: how well bundles find offsets in files, choose between in sync and shifted, and refuse to answer.

- `cases.sync_cases` reads the clips of a test, `trial_list` its JSON lines; `plan.plan_of` gives the trials of a clip.
- `measure.evaluate_sync` runs the tests on temporary files, which `files` writes. `judges` answer them: a bundle by one
  of its `paths`, or the baseline of `motion_baseline` and `baseline_inputs`; `two_choices` reads their curves.
  `class_test` with `offset_classes` and `clip_rows` is the one test that shifts audio in memory.
- `report` computes the figures and makes the result.
- `offset_rows`: scores of clips compared with their known offsets, for `cavsync demo`.

Imports `cavsync.evaluate.inputs`, `cavsync.evaluate.results`, and the scorer and the packet copies of `cavsync.deploy`.
"""
