"""The main face of a clip, followed once: its points and its mouth in every frame, kept with shards or in a cache.

- `track`: `FaceTrack`, the record, as bytes of an .npz; `arrays` writes and reads such bytes.
- `follow`: `FaceFollower`, which makes one from frames with a face finder that is handed in.
- `face_clip`: `FaceClip`, a track with the clip's audio; `cache`: a folder of them.
- `windows`: windows of a clip in the model's time grid.

Imports the clip and audio modules of `cavsync.data`, and `cavsync.media`; the finder is part of `cavsync.deploy`.
"""
