"""Sources of clips: every data format behind one interface.

- `clips`: `ClipSource`, the interface, and `open_source`, which opens a folder of videos or shards or a CAV-MAE JSON.
- `video_folder`, `cav_mae_list`, `listed_videos` (VGGSound and AudioSet CSV), `joined`: the sources; shards are in
  `cavsync.data.shards`.
- `classes`: `ClassLabels` and `ClipClasses`, the classes of a classifier and of each clip.
- `rejects`: `Rejects`, the clips that could not be used.
- `write_cav_mae_list`: a folder of videos as a CAV-MAE list.

Imports `cavsync.data.shards`, `cavsync.data.labels` and the clip and audio modules of `cavsync.data`.
"""
