"""Retrieval: how well a clip's audio is found by its frames among all clips, and its frames by its audio.

- `embeddings.clip_embeddings` embeds the clips, with a cache on disk.
- `measure.rank_clips` ranks them by the similarities of `similarity`; `result.retrieval_result` computes the figures of
  `metrics` and makes the result.

Imports `cavsync.evaluate.inputs` and `cavsync.evaluate.results`.
"""
