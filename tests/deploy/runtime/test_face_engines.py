"""The face graphs of a bundle: opened with it, and refused where the face path could not use them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import LEFT, RIGHT, frames_of
from fake_bundle import write_fake_bundle
from hostile import forge

from cavsync.deploy import Bundle
from cavsync.deploy.faces.graphs import FACE_GRAPHS as PACKAGED
from cavsync.deploy.faces.graphs import bundle_face_finder
from cavsync.deploy.runtime.face_engines import FaceEngines
from cavsync.errors import BundleError
from cavsync.manifest import MANIFEST_NAME, FaceSpec, Manifest, TensorSpec, read_manifest
from cavsync.media.mouth import NUM_FEATURES


def test_the_finder_of_a_bundle_sees_its_faces(face_bundle: Bundle) -> None:
    assert face_bundle.faces is not None
    finder = bundle_face_finder(face_bundle.faces)
    faces = finder.push(frames_of([30], [60])[0], 0.0)
    assert [face.track for face in faces] == [0, 1]
    assert [face.box.mean() for face in faces] == pytest.approx([48, 96], abs=1)
    assert bundle_face_finder(face_bundle.faces).push(frames_of([0], [60])[0], 0.0)[0].box[0] > 96


def test_graphs_do_what_the_manifest_says(face_bundle: Bundle) -> None:
    engines = face_bundle.faces
    assert engines is not None
    assert engines.encode_frames(np.zeros((3, NUM_FEATURES), np.float32)).shape == (3, 1)
    visual = engines.embed_frames(np.zeros((14, 1), np.float32))
    audio = face_bundle.face_audio_encoder(engines).embed(np.full((4, 45 + 2 * 4, 128), -30, np.float32))
    np.testing.assert_allclose(visual, [[1, 0]] * 2, atol=1e-6)
    np.testing.assert_allclose(audio, [[[1, 0]] * 3] * 4, atol=1e-6)
    lying = replace(engines, embedding_dim=3)
    with pytest.raises(BundleError, match=r"gives values of shape \(1, 2, 2\), \(1, 2, 3\) was declared"):
        lying.embed_frames(np.zeros((14, 1), np.float32))


def test_a_bundle_without_faces_has_none(bundle: Bundle) -> None:
    assert bundle.faces is None


def test_the_packaged_detectors_and_mesh_fit(face_bundle_path: Path) -> None:
    """Those that come with the package have the interfaces that a bundle's must have."""
    manifest = read_manifest(face_bundle_path)
    assert manifest.faces is not None
    own = (manifest.faces.face_detector_short_range, manifest.faces.face_detector_full_range, manifest.faces.face_mesh)
    for packaged, graph in zip(PACKAGED, own, strict=True):
        assert (packaged.spec.inputs, packaged.spec.outputs) == (graph.inputs, graph.outputs)


def changed(name: str, **shapes: list[Any]) -> Callable[[FaceSpec], FaceSpec]:
    """Change the shapes of tensors of a graph."""

    def change(spec: FaceSpec) -> FaceSpec:
        def of(tensor: TensorSpec) -> TensorSpec:
            return replace(tensor, shape=shapes.get(tensor.name, tensor.shape))

        graph = spec.graphs[name]
        new = replace(graph, inputs=list(map(of, graph.inputs)), outputs=list(map(of, graph.outputs)))
        return replace(spec, **{name: new})  # type: ignore[arg-type]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("face_mesh", points=["batch", 1404]), r"face_mesh without the one output points .* \(batch, 1405\)"),
        (changed("face_detector_full_range", image=["batch", 128, 128, 3]), "face_detector_full_range .* input image"),
        (changed("face_frame_encoder", features=["batch", 86]), "face_frame_encoder .* input features"),
        (
            changed("face_visual_encoder", embedding=["batch", "moments", "D"]),
            "face_visual_encoder without an output of",
        ),
        (
            changed("face_audio_encoder", embedding=["batch", "moments", 3]),
            r"face_audio_encoder .* \(.*moments, 2\)",
        ),
        (changed("face_visual_encoder", encoded=["batch", 13, 1]), r"face_visual_encoder .* \(batch, frames, 1\)"),
        (changed("face_audio_encoder", log_mel=["batch", 45, 128]), r"face_audio_encoder .* \(batch, frames, 128\)"),
    ],
)
def test_other_interfaces_are_refused(
    face_bundle_path: Path, change: Callable[[FaceSpec], FaceSpec], words: str
) -> None:
    manifest = read_manifest(face_bundle_path)
    assert manifest.faces is not None
    wrong = replace(manifest, faces=change(manifest.faces))
    with pytest.raises(BundleError, match=words):
        FaceEngines.open(face_bundle_path, wrong, threads=1, cores=None)


def test_a_face_path_of_an_earlier_version_is_refused_in_a_sentence(face_bundle_path: Path, tmp_path: Path) -> None:
    """Its manifest does not say how far apart the embeddings of a stretch are."""
    folder = Path(shutil.copytree(face_bundle_path, tmp_path / "bundle"))
    forge(lambda content: content["faces"].pop("step_frames"))(folder)
    with pytest.raises(BundleError) as refused:
        Bundle.open(folder)
    sentence = "manifest.json has no entry 'step_frames' in faces: export the bundle again with this version"
    assert str(refused.value) == f"{folder}/{sentence}"


@pytest.mark.parametrize("place", ["manifest", "file", "face", "face_file"])
def test_features_that_no_one_computes_are_refused(tmp_path: Path, place: str) -> None:
    folder = write_fake_bundle(tmp_path / "b", face_places=(LEFT, RIGHT))
    manifest = read_manifest(folder)
    faces = manifest.faces
    assert manifest.calibration is not None
    assert faces is not None
    odd = replace(manifest.calibration, features=["warmth", "agreement"])
    changes: dict[str, Manifest] = {
        "manifest": replace(manifest, calibration=odd),
        "file": replace(manifest, file_calibration=odd),
        "face": replace(manifest, faces=replace(faces, calibration=odd)),
        "face_file": replace(manifest, faces=replace(faces, file_calibration=odd)),
    }
    (folder / MANIFEST_NAME).write_bytes(changes[place].to_bytes())
    with pytest.raises(BundleError, match="warmth"):
        Bundle.open(folder)
