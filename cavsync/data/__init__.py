"""Clips for training and evaluation: where they come from, and how they become a model's input.

Entry points, imported from the module named (docs/reference/public.md lists what is public):

- `clip`: `Clip`, `load_clip`; `clip_audio`: `Waveform`, `LogMel`.
- `logmel`: `log_mel`, `normalise`, and the numbers of the front end; `frontend`: `LogMelFrontend`, the same as a
module.
- `sources.clips`: `ClipSource`, `open_source`; `sources.classes`: `ClassLabels`, `ClipClasses`.
- `shards`: `ShardFolder`, `PackOptions`; `shards.pack`: `pack`.
- `sampling`: `SamplePlan`, `take_sample`; `batches`: `PairDataset`, `PairBatch`, `collate`; `order`: `PlannedBatches`;
  `augment.config`: `Augmentation`.
- `faces.track`: `FaceTrack`; `face_batches`: `FaceWindows`, `FaceBatch`, windows of face tracks for the face model.
- `check`: `check_source`; `stats`: `feature_stats`.
- `synth`: generated clips whose true offset is known, free of torch.

Rooms, each importing only those before it: `augment` and `labels`; `faces`; `synth` and `shards`; `sources`.
"""
