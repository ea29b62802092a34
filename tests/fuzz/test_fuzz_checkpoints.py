"""Damaged runs and checkpoints: loaded, or refused in a sentence; nothing in them is executed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import torch
from fuzzing import damaged, fuzz
from hypothesis import strategies as st
from small_models import small_model

from cavsync.errors import CavsyncError, CheckpointError
from cavsync.model.checkpoint import load_model, save_model
from cavsync.model.state import read_state
from cavsync.run import Run

SIZES = (b"1", b"0", b"-1", b"7", b"65536", b"4294967296", b"1e400", b"null", b'"x"', b"[]", b"true", b"1.5")


def test_runs(tmp_path: Path) -> None:
    model = small_model(embed_dim=16, depth=2, modality_specific_depth=1)
    whole = tmp_path / "whole"
    weights = save_model(model, whole, 1) / "model.safetensors"
    config, tensors = (whole / "config.json").read_bytes(), weights.read_bytes()
    sizes = [config.replace(b": 16", b": " + size) for size in SIZES] + [
        config.replace(b": 2,", b": " + size + b",") for size in SIZES
    ]

    def load(case: tuple[bool, bytes]) -> None:
        is_config, data = case
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        (folder / (Path("config.json") if is_config else weights.relative_to(whole))).write_bytes(data)
        with suppress(CheckpointError):
            Run.open(folder).held_out_clips()
        with suppress(CheckpointError):
            load_model(folder)

    configs = st.tuples(st.just(True), damaged([config, *sizes], most=3) | st.sampled_from(sizes))
    fuzz("runs", load, configs | st.tuples(st.just(False), damaged([tensors])), examples=60)


def test_files_of_the_authors(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"module.x": torch.zeros(3), "module.y": torch.ones(2, 2)}, path)
    small = path.read_bytes()
    torch.save(small_model(embed_dim=16, depth=2, modality_specific_depth=1).state_dict(), path)
    whole = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(CavsyncError):
            read_state(path)

    fuzz("pth", read, damaged([small, whole]) | st.binary(max_size=100), examples=60)
