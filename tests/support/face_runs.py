"""A run of the face model that never trained, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from talking_clips import face_points

from cavsync.media.mouth import lip_features
from cavsync.model.checkpoint import save_state, write_run_config
from cavsync.model.face_config import FaceConfig
from cavsync.model.face_sync import FaceSync

SMALL = FaceConfig(embed_dim=8, landmark_members=2, width=16, mel_bands=16, mouth_channels=(2, 2, 4), mouth_width=8)


def face_model(seed: int = 0) -> FaceSync:
    """A face model with random weights that knows the spread of talking faces."""
    torch.manual_seed(seed)
    model = FaceSync(SMALL).eval()
    faces = np.stack([lip_features(face_points(opening)) for opening in np.linspace(0, 1, 20)])
    model.standardise(torch.from_numpy(faces))
    return model


def write_face_run(folder: Path, *, seed: int = 0, step: int = 7) -> Path:
    """Write a run with one checkpoint of `face_model`, and return its folder."""
    write_run_config(folder, SMALL, train={"preset": "sync-face", "seed": seed})
    weights = {name: value.detach().contiguous() for name, value in face_model(seed).state_dict().items()}
    save_state(weights, folder, step)
    return folder
