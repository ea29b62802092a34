"""A model whose frames pass the stem once: its two visual graphs compute what the model computes, in every precision
and however a stream is cut."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting_engine import CountingEngine
from exported import needs_openvino
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_models import PAIRS, small_model

from cavsync.deploy import Bundle, EnginePool, SyncScorer
from cavsync.deploy.runtime.tubelets import SmallFrame
from cavsync.errors import BundleError
from cavsync.export import export_bundle
from cavsync.export.bundle import write_manifest
from cavsync.manifest import FRAME_ENCODER, read_manifest
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import load_model, save_model

Array = NDArray[Any]
RATE_HZ, SECONDS = 25, 4.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "pairs"
    model: CAVMAESync = small_model(**PAIRS).eval()
    with torch.no_grad():
        for stem in (model.patch_embed_a, model.patch_embed_v):
            stem.layers[0].weight.mul_(5.0)
    save_model(model, folder, 1)
    return folder


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "fp32"
    export_bundle(run, out, calibration_clips=[])
    return out


def random_tubelets(count: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 4, 48, 48, 3), dtype=np.uint8)


def expected(run: Path, tubelets: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Embeddings and patches by the torch model, from the papers' constants."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    frames = torch.from_numpy(((tubelets / 255 - mean) / std).transpose(0, 1, 4, 2, 3)).float()
    with torch.no_grad():
        found = load_model(run).eval().encode_frames(frames)
    return (found.pooled / found.pooled.norm(dim=-1, keepdim=True)).numpy(), found.patches.numpy()


def test_a_bundle_gives_the_models_embeddings_and_patches(run: Path, folder: Path) -> None:
    bundle, tubelets = Bundle.open(folder), random_tubelets()
    embeddings, patches = expected(run, tubelets)
    np.testing.assert_allclose(bundle.embed_frames(tubelets), embeddings, atol=1e-5)
    np.testing.assert_allclose(bundle.frame_patches(tubelets), patches, atol=1e-4)
    manifest = read_manifest(folder)
    assert list(manifest.encoders) == ["audio_encoder", "visual_encoder", FRAME_ENCODER]
    assert manifest.visual.num_frames == 4


@pytest.mark.parametrize("precision", ["fp16", "int8", pytest.param("auto", marks=needs_openvino)])
def test_other_precisions_have_the_graph_too(run: Path, tmp_path: Path, precision: str) -> None:
    """Parity of all graphs is checked by the export; every engine opens and stays close to float32."""
    export_bundle(run, tmp_path / "out", precision=precision, calibration_clips=[])
    manifest, tubelets = read_manifest(tmp_path / "out"), random_tubelets()
    assert manifest.precision == ("int8" if precision == "auto" else precision)
    for engine in {f"{one.runtime}:{one.precision}" for one in manifest.engines} | {"onnxruntime"}:
        found = Bundle.open(tmp_path / "out", engine=engine).embed_frames(tubelets)
        cosines = (found * expected(run, tubelets)[0]).sum(axis=1)
        assert cosines.min() > 0.9, engine


def test_each_pair_of_a_stream_is_computed_once(folder: Path) -> None:
    """Over all groups; and the scores are those of tubelets that share nothing."""
    opened = Bundle.open(folder)
    assert opened.pairs is not None
    pairs = CountingEngine(opened.pairs)
    shared = scores(replace(opened, pairs=pairs))
    apart = scores(replace(opened, pairs=None, visual=Whole(opened)))
    # The first frames of a stream stand in for missing earlier ones: one pair of the first frame with itself.
    assert pairs.num_inputs == round(RATE_HZ * SECONDS) + 1
    assert shared == apart


class Whole:
    """One engine for tubelets that share nothing, made of a bundle's two."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def run(self, values: Array, output: str) -> Array:
        assert output == "embedding"
        return np.concatenate([self._bundle.embed_frames(one[None]) for one in values])


def scores(bundle: Bundle, cuts: list[int] | None = None) -> list[tuple[float, ...]]:
    """Score a moving square with clicks; audio in pieces that end at `cuts` (samples)."""
    random = np.random.default_rng(0)
    scorer, count = SyncScorer(bundle), round(RATE_HZ * SECONDS)
    audio = random.normal(0, 0.1, round(16_000 * SECONDS)).astype(np.float32)
    pieces = np.split(audio, sorted(cuts or [8000]))
    found, place = [], 0
    for piece in pieces:
        found += scorer.push_audio(piece, sample_rate_hz=16_000, pts_seconds=place / 16_000)
        place += len(piece)
    for index in range(count):
        frame = np.zeros((60, 80, 3), np.uint8)
        frame[(index * 3) % 50 : (index * 3) % 50 + 10, 20:40] = 200
        found += scorer.push_video(frame, pts_seconds=index / RATE_HZ)
    found += scorer.flush()
    return [(one.similarity, one.audio_offset_ms or 0.0, one.confidence or 0.0) for one in found]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5)
@given(cuts=st.lists(st.integers(1, 63_000), max_size=6))
def test_cuts_of_the_input_change_nothing(folder: Path, cuts: list[int]) -> None:
    bundle = Bundle.open(folder)
    assert scores(bundle, cuts) == scores(bundle)


def test_a_pool_gives_the_same(folder: Path) -> None:
    opened, tubelets = Bundle.open(folder), random_tubelets()
    seen: list[str] = []
    with EnginePool(opened, on_batch=lambda name, *_: seen.append(name)) as pool:
        np.testing.assert_allclose(pool.bundle.embed_frames(tubelets), opened.embed_frames(tubelets), atol=1e-6)
    assert seen == [FRAME_ENCODER, "visual_encoder"]


def test_features_are_kept_by_the_later_frame_only(folder: Path) -> None:
    """So that a frame which is dropped frees what belongs to it."""
    opened = Bundle.open(folder)
    frames = [SmallFrame(number, pixels) for number, pixels in enumerate(random_tubelets(2).reshape(8, 48, 48, 3))]
    opened.embed_frames([frames[0:4], frames[2:6]])
    assert [sorted(frame.features) for frame in frames] == [[], [0], [1], [2], [3], [4], [], []]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: replace(spec, inputs=[replace(spec.inputs[0], shape=["batch", 3, 48, 48, 3])]), "contradict"),
        (lambda spec: replace(spec, outputs=[replace(spec.outputs[0], shape=["batch", 8, 32])]), "contradict"),
        (lambda spec: replace(spec, outputs=[replace(spec.outputs[0], name="other")]), "without the input"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(folder: Path, tmp_path: Path, change: Any, words: str) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(folder, copy)
    manifest = read_manifest(copy)
    write_manifest(copy, replace(manifest, frame_encoder=change(manifest.frame_encoder)))
    with pytest.raises(BundleError, match=words):
        Bundle.open(copy)
