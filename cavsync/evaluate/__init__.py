"""Evaluation of trained models, one room per task, as the commands of `cavsync eval` run it.

Entry points, imported from the module named (docs/reference/public.md says what is public). Each task has a function
that measures and one that makes the result:

- `sync`: `measure.evaluate_sync`, `result.sync_result`; `cases.sync_cases` reads the clips.
- `retrieval`: `embeddings.clip_embeddings`, `measure.rank_clips`, `result.retrieval_result`.
- `classify`: `classifier.open_classifier`, `measure.classify`, `result.classify_result`.
- `localize`: `data_sets.open_localization_set`, `measure.localize`, `result.localize_result`.
- `inpaint`: `measure.sweep`, `measure.inpaint`, `result.inpaint_result`.
- `inputs`: `encoders.open_encoder`, `decoder.open_decoder`, `eval_clips.open_eval_clips`.
- `results`: `result.EvalResult`, `result.read_result`, `provenance.provenance`, `compare.compare_results`.

Rooms, each importing only those before it: `results`; `inputs`; the five tasks, which do not import one another.
"""
