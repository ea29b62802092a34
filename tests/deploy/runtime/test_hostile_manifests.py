"""Manifests that a forger wrote, digest and all: what they say is bounded and of the right kind, or refused."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile import AUDIO, Attack, engine, forge, put, refusal, seal, update, write
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.errors import BundleError
from cavsync.manifest import MANIFEST_NAME, read_manifest


@pytest.fixture
def folder(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


TYPES: dict[str, tuple[Attack, str]] = {
    "size is text": (
        put("files", AUDIO, "size_bytes", value="12"),
        "size_bytes = '12', which should be a valid int",
    ),
    "size is true": (
        put("files", AUDIO, "size_bytes", value=True),
        "size_bytes = True, which should be a valid int",
    ),
    "size is broken": (
        put("files", AUDIO, "size_bytes", value=1.5),
        "size_bytes = 1.5, which should be a valid int",
    ),
    "size is negative": (
        put("files", AUDIO, "size_bytes", value=-1),
        "size_bytes = -1, which should be greater",
    ),
    "size is huge": (
        put("files", AUDIO, "size_bytes", value=10**400),
        "should be less than or equal to 17179869184",
    ),
    "hash is a number": (put("files", AUDIO, "sha256", value=5), "sha256 = 5, which should be a valid string"),
    "files is a list": (put("files", value=[AUDIO]), "files = ['audio_encoder.onnx'], which should be an object"),
    "file is a list": (put("files", AUDIO, value=[1]), "files['audio_encoder.onnx'] = [1], which should be an object"),
    "engines is an object": (put("engines", value={}), "engines = {}, which should be a valid array"),
    "engine is text": (put("engines", value=["tensorrt"]), "engines[0] = 'tensorrt', which should be an object"),
    "companions is text": (
        put("engines", value=[engine(runtime="openvino", companions="weights.bin")]),
        "engines[0].companions = 'weights.bin', which should be a valid array",
    ),
    "unknown runtime": (
        put("engines", value=[engine(runtime="python", companions=[])]),
        "engines[0].runtime = 'python', which should be onnxruntime or openvino or",
    ),
    "companion without a hash": (
        put("engines", value=[engine(runtime="openvino", companions=["../weights.bin"])]),
        "names '../weights.bin' without a hash",
    ),
    "unknown entry": (put("autorun", value="x"), "has an unknown entry 'autorun':"),
    "unknown entry below": (put("sync", "autorun", value=1), "has an unknown entry 'autorun' in sync"),
    "missing entry": (forge(lambda content: content["sync"].pop("hop_ms")), "has no entry 'hop_ms' in sync"),
    "graph is null": (put("audio_encoder", value=None), "audio_encoder = None, which should be an object"),
    "shape holds a list": (
        put("audio_encoder", "inputs", 0, "shape", 0, value=[]),
        "a valid integer or should be a valid string",
    ),
    "no shape": (
        put("audio_encoder", "outputs", 0, "shape", value=[]),
        "audio_encoder.outputs[0].shape = [], which should have at least 1 item",
    ),
    "many dimensions": (
        put("visual_encoder", "outputs", 0, "shape", value=[1] * 9),
        "visual_encoder.outputs[0].shape = [1, 1, 1, 1, 1, 1, 1, 1, 1], which should have at most 8 items",
    ),
    "no size": (put("audio_encoder", "outputs", 0, "shape", 1, value=0), "which should be from 1 to 2147483647"),
    "huge size": (put("audio_encoder", "outputs", 0, "shape", 1, value=1 << 40), "should be from 1 to 2147483647"),
    "endless name of a size": (
        put("audio_encoder", "outputs", 0, "shape", 0, value="x" * 300),
        "or the name of a dimension",
    ),
    "unknown kind of number": (
        put("audio_encoder", "outputs", 0, "dtype", value="complex"),
        "dtype = 'complex', which should be float32 or float16 or uint8",
    ),
    "other embeddings": (
        put("visual_encoder", "outputs", 0, "shape", value=["batch", 7, 2]),
        "embedding of visual_encoder as float32 ['batch', 7, 2], which its other entries contradict",
    ),
    "widest embeddings": (
        forge(
            lambda content: [
                content[name]["outputs"][0].update(shape=["batch", 1 << 20])
                for name in ("audio_encoder", "visual_encoder")
            ]
        ),
        "audio embeddings of width 1048576",
    ),
    "other frames": (
        put("visual_encoder", "inputs", 0, "shape", 2, value=64),
        "frames of visual_encoder as uint8 ['batch', 3, 64, 16, 3]",
    ),
    "frames in another kind of number": (
        put("visual_encoder", "inputs", 0, "dtype", value="float32"),
        "frames of visual_encoder as float32 ['batch', 3, 16, 16, 3]",
    ),
    "another segment": (put("audio", "segment_frames", value=7), "log_mel of audio_encoder as float32"),
    "log-mel of fewer bands": (
        put("audio_frontend", "outputs", 0, "shape", 2, value=64),
        "log_mel of audio_frontend as float32 [1, 'frames', 64]",
    ),
    "unknown precision": (put("precision", value="fp7"), "precision = 'fp7', which should be fp32 or fp16 or"),
    "unknown precision of an engine": (
        put("engines", value=[engine(precision="any")]),
        "engines[0].precision = 'any', which should be fp32 or",
    ),
    "a model of objects": (put("model", value={"depth": {"x": 1}}), "which should hold numbers, names, and lists of"),
    "a model of lists in lists": (put("model", value={"depth": [[1]]}), "which should hold numbers, names, and lists"),
    "a model of prose": (put("model", value={"depth": "x" * 500}), "which should hold numbers, names, and lists of"),
    "a model of too much": (put("model", value={str(n): n for n in range(300)}), "should hold numbers, names"),
    "a model without size": (put("model", value={"patch_size": 0}), "should have whole, positive numbers as"),
    "a model of half a size": (put("model", value={"img_size": 8.5}), "should have whole, positive numbers as"),
    "a model of true size": (put("model", value={"num_frames": True}), "should have whole, positive numbers as"),
    "another model": (put("model", value={"img_size": 224}), "model.img_size = 224, its graphs have 16"),
    "a model of large patches": (put("model", value={"patch_size": 17}), "model.patch_size = 17, more than a frame"),
    "no input": (put("audio_encoder", "inputs", value=[]), "without the input log_mel"),
    "version is text": (put("format_version", value="2"), "has bundle format '2'"),
    "version is broken": (put("format_version", value=2.0), "has bundle format 2.0"),
    "version is true": (put("format_version", value=True), "has bundle format True"),
    "version is long": (put("format_version", value="9" * 1000), "has bundle format '9999"),
    "no version": (forge(lambda content: content.pop("format_version")), "has bundle format None"),
    "not a number": (put("sync", "hop_ms", value=float("nan")), "sync.hop_ms = nan, which should be a finite number"),
    "endless": (
        put("calibration", "bias", value=float("inf")),
        "calibration.bias = inf, which should be a finite",
    ),
    "huge": (put("calibration", "bias", value=10**400), "which should be a finite number"),
    "large": (
        put("calibration", "weights", 0, value=1e17),
        "calibration.weights[0] = 1e+17, which should be less",
    ),
    "no frames": (put("calibration", "max_frames", value=0), "max_frames = 0, which should be greater"),
    "half a frame": (put("calibration", "max_frames", value=1.5), "max_frames = 1.5, which should be a valid int"),
    "not a number anywhere": (put("source", value={"step": float("nan")}), "is not valid JSON"),
    "all memory for frames": (
        update(visual={"img_size": 4096, "num_frames": 1024}),
        "which should take at most 67108864 bytes of frames at a time",
    ),
    "all memory for audio": (
        update(audio={"segment_frames": 6000}, frontend={"num_mel_bins": 4096}),
        "frontend.num_mel_bins = 4096, which should be less than or equal to 2048",
    ),
    "all time for a window": (
        update(sync={"window_seconds": 3600, "frame_rate_hz": 1000}),
        "which should have at most 100000 frames in a window",
    ),
    "a terminal's commands": (put("name", value="\x1b]0;owned\x07"), "holds control characters"),
    "deep": (put("model", value={"x": json.loads("[" * 40 + "]" * 40)}), "nests values more than 16 deep"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_content_of_the_wrong_kind_is_refused(kind: str, folder: Path) -> None:
    attack, words = TYPES[kind]
    assert words in refusal(folder, attack)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"null", "does not hold a JSON object"),
        (b"[" * 200_000, "more than 16 deep"),
        (b'{"a":' * 150_000, "more than 16 deep"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", "not valid JSON"),
        ('{"format_version": 2}'.encode("utf-16"), "not valid JSON"),
        (b'{"format_version": 2, "name": "\\ud800"}', "not valid JSON"),
        (b'{"format_version": 2, "format_version": 2}', "names 'format_version' twice"),
        (b'\xef\xbb\xbf{"format_version": 2}', "not valid JSON"),
    ],
)
def test_manifests_that_are_none(data: bytes, words: str, folder: Path) -> None:
    assert words in refusal(folder, write(MANIFEST_NAME, lambda _: data))


def test_spaces_and_another_order_are_changes(folder: Path) -> None:
    """One content, one spelling: otherwise a digest could be kept while bytes change."""
    content = json.loads((folder / MANIFEST_NAME).read_text())
    assert "its own digest" in refusal(folder, write(MANIFEST_NAME, lambda _: json.dumps(content).encode()))


def test_bundles_that_older_versions_wrote_or_can_read(folder: Path) -> None:
    """They do not know how many frames a calibration saw; a bundle that does not say it has no entry for it."""
    path = folder / MANIFEST_NAME
    manifest = read_manifest(folder)
    assert manifest.calibration is not None
    assert manifest.calibration.max_frames is None
    assert b"max_frames" not in path.read_bytes()
    path.write_bytes(replace(manifest, calibration=replace(manifest.calibration, max_frames=150)).to_bytes())
    capped = read_manifest(folder)
    assert capped.calibration == replace(manifest.calibration, max_frames=150)
    path.write_bytes(replace(capped, calibration=manifest.calibration).to_bytes())
    assert read_manifest(folder) == manifest
    assert b"max_frames" not in path.read_bytes()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(bundle_path: Path, data: st.DataObject) -> None:
    """A forged manifest with something else in one place: a manifest or a BundleError, never anything else."""
    content = json.loads((bundle_path / MANIFEST_NAME).read_text())
    spot: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(spot) if isinstance(spot, dict) else range(len(spot))))
        if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.booleans()):
            break
        spot = spot[key]
    spot[key] = data.draw(JSON)
    copy = bundle_path.parent / "forged"
    copy.mkdir(exist_ok=True)
    (copy / MANIFEST_NAME).write_bytes(seal(content))
    with suppress(BundleError):
        manifest = read_manifest(copy)
        # What is read can be written and read again.
        (copy / MANIFEST_NAME).write_bytes(manifest.to_bytes())
        assert read_manifest(copy) == manifest
