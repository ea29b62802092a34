"""Random changes to a clip's frames and audio for training.

- `config`: `Augmentation`, the strengths, which presets and configurations set.
- `audio`, `frames`: the changes; each is drawn once per clip (`draw`) and then applied (`apply`, `mix`).

Imports the clip and audio modules of `cavsync.data`, torch and numpy.
"""
