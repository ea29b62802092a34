"""The Triton repository: its files say what the graphs are, and the ensemble computes what the bundle computes."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from triton_rules import infer, infer_ensemble, open_session, read_config
from tritonclient.grpc import model_config_pb2 as pb

from cavsync.deploy import Bundle
from cavsync.errors import BundleError, ConfigError, ExportError
from cavsync.export import export_bundle
from cavsync.export.triton_repository import write_triton_repository
from cavsync.manifest import EngineSpec, describe_files, read_manifest

GRAPHS = ("audio_frontend", "audio_encoder", "visual_encoder")
MODELS = {"cavsync_audio", *(f"cavsync_{graph}" for graph in GRAPHS)}
CONFIG_TYPES = {"tensor(float)": pb.TYPE_FP32, "tensor(uint8)": pb.TYPE_UINT8}
METADATA_TYPES = {pb.TYPE_FP32: "FP32", pb.TYPE_UINT8: "UINT8"}


@pytest.fixture(scope="module")
def bundle_dir(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uncalibrated bundle of the shared run."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    export_bundle(run_dir, out, calibration_clips=[])
    return out


@pytest.fixture(scope="module")
def repository(bundle_dir: Path) -> Path:
    """The repository of that bundle, with small batches."""
    write_triton_repository(bundle_dir, bundle_dir.parent / "models", max_batch_size=6)
    return bundle_dir.parent / "models"


def left_in(folder: Path) -> set[str]:
    """Names in a folder, hidden ones included."""
    return {path.name for path in folder.iterdir()}


def with_engine(bundle_dir: Path, copy: Path, *engines: EngineSpec) -> Path:
    """A copy of the bundle that names more engines; their files hold their runtime's name."""
    shutil.copytree(bundle_dir, copy)
    for engine in engines:
        (copy / engine.file).write_text(engine.runtime)
    manifest = read_manifest(bundle_dir)
    files = manifest.files | describe_files(copy, [engine.file for engine in engines])
    (copy / "manifest.json").write_bytes(replace(manifest, engines=list(engines), files=files).to_bytes())
    return copy


def test_what_is_written(bundle_dir: Path, tmp_path: Path) -> None:
    """Four models, each named like its folder; the list has every file; graphs are the bundle's, byte for byte."""
    out = tmp_path / "deep" / "models"
    written = write_triton_repository(bundle_dir, out)
    assert written == sorted(path for path in out.rglob("*") if path.is_file())
    assert left_in(out) == MODELS
    assert left_in(out.parent) == {"models"}
    for model in MODELS:
        assert left_in(out / model) == {"1", "config.pbtxt", "metadata.json"}
        assert read_config(out, model).name == model
    for graph in GRAPHS:
        assert left_in(out / f"cavsync_{graph}" / "1") == {"model.onnx"}
        model_file = out / f"cavsync_{graph}" / "1" / "model.onnx"
        assert model_file.read_bytes() == (bundle_dir / f"{graph}.onnx").read_bytes()


@pytest.mark.parametrize("graph", GRAPHS)
def test_tensors_are_those_of_the_graph(graph: str, repository: Path) -> None:
    """Names, types and full shapes, as the backend compares them: a batch axis that is not fixed, then `dims`."""
    config, session = read_config(repository, f"cavsync_{graph}"), open_session(repository, f"cavsync_{graph}")
    assert (config.backend, config.platform) == ("onnxruntime", "onnxruntime_onnx")
    assert config.max_batch_size == (0 if graph == "audio_frontend" else 6)
    batch = [-1] if config.max_batch_size else []
    for described, found in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [tensor.name for tensor in described] == [tensor.name for tensor in found]
        assert [tensor.data_type for tensor in described] == [CONFIG_TYPES[tensor.type] for tensor in found]
        shapes = [[size if isinstance(size, int) else -1 for size in tensor.shape] for tensor in found]
        assert [[*batch, *tensor.dims] for tensor in described] == shapes
        assert not any(tensor.HasField("reshape") for tensor in described)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_metadata_says_what_the_configuration_says(model: str, repository: Path) -> None:
    """In the form in which an Open Inference Protocol server answers."""
    config = read_config(repository, model)
    batch = [-1] if config.max_batch_size else []
    sides = {
        side: [
            {"name": tensor.name, "datatype": METADATA_TYPES[tensor.data_type], "shape": [*batch, *tensor.dims]}
            for tensor in described
        ]
        for side, described in (("inputs", config.input), ("outputs", config.output))
    }
    metadata = json.loads((repository / model / "metadata.json").read_text())
    assert metadata == {"name": model, "versions": ["1"], "platform": config.platform, **sides}


@pytest.mark.parametrize(("largest", "preferred"), [(64, [16, 32, 64]), (6, [1, 3, 6]), (2, [1, 2]), (1, [1])])
def test_batching_and_instances(largest: int, preferred: list[int], bundle_dir: Path, tmp_path: Path) -> None:
    """Encoders are batched as asked, and nothing else is: Triton refuses preferred sizes above the largest batch."""
    write_triton_repository(
        bundle_dir, tmp_path / "m", max_batch_size=largest, max_queue_delay_microseconds=700, instances=3
    )
    for model in MODELS:
        config = read_config(tmp_path / "m", model)
        is_encoder = model.endswith("encoder")
        assert config.max_batch_size == (largest if is_encoder else 0)
        assert config.HasField("dynamic_batching") == is_encoder
        # Triton refuses an ensemble with instances.
        assert [group.count for group in config.instance_group] == ([] if model == "cavsync_audio" else [3])
        if is_encoder:
            assert list(config.dynamic_batching.preferred_batch_size) == preferred
            assert config.dynamic_batching.max_queue_delay_microseconds == 700


def test_the_ensemble_maps_tensors_that_exist(repository: Path) -> None:
    """Each step's tensors are the model's; each is the ensemble's input or an earlier step's output; types agree."""
    config = read_config(repository, "cavsync_audio")
    assert config.platform == "ensemble"
    known = {tensor.name: tensor.data_type for tensor in config.input}
    for step in config.ensemble_scheduling.step:
        model = read_config(repository, step.model_name)
        assert step.model_version == -1
        assert set(step.input_map) == {tensor.name for tensor in model.input}
        assert all(known[step.input_map[tensor.name]] == tensor.data_type for tensor in model.input)
        outputs = {tensor.name: tensor.data_type for tensor in model.output}
        known |= {mapped: outputs[name] for name, mapped in step.output_map.items()}
    assert all(known[tensor.name] == tensor.data_type for tensor in config.output)


def test_the_ensemble_embeds_as_the_bundle_does(bundle_dir: Path, repository: Path) -> None:
    """One segment of 80 frames is 79 * 160 + 400 samples; one sample less is refused."""
    bundle = Bundle.open(bundle_dir)
    waveform = np.random.default_rng(0).normal(0, 0.1, (1, 79 * 160 + 400)).astype(np.float32)
    embedding = infer_ensemble(repository, waveform)
    assert embedding.shape == (1, bundle.embedding_dim)
    np.testing.assert_allclose(embedding, bundle.embed_audio(bundle.log_mel(waveform[0])[None]), atol=1e-6)
    with pytest.raises(AssertionError):
        infer_ensemble(repository, waveform[:, :-1])


def test_batches_of_a_recording(bundle_dir: Path, repository: Path) -> None:
    """The front end takes any length, the encoders as many rows as they declare, each row as if it were alone."""
    bundle = Bundle.open(bundle_dir)
    random = np.random.default_rng(1)
    waveform = random.normal(0, 0.1, (1, 32_000)).astype(np.float32)
    log_mel = infer(repository, "cavsync_audio_frontend", {"waveform": waveform})["log_mel"]
    segments = np.stack([log_mel[0, start : start + 80] for start in range(0, 90, 15)])
    heard = infer(repository, "cavsync_audio_encoder", {"log_mel": segments})["embedding"]
    alone = np.concatenate([bundle.embed_audio(segment[None]) for segment in segments])
    np.testing.assert_allclose(heard, alone, atol=1e-5)
    frames = random.integers(0, 256, (6, 3, 48, 48, 3), dtype=np.uint8)
    seen = infer(repository, "cavsync_visual_encoder", {"frames": frames})["embedding"]
    np.testing.assert_allclose(seen, bundle.embed_frames(frames), atol=1e-5)


def test_a_tensorrt_engine_is_served_as_a_plan(bundle_dir: Path, repository: Path, tmp_path: Path) -> None:
    """Only the encoder that has one; an engine of TensorRT for RTX is none; the tensors stay the same."""
    copy = with_engine(
        bundle_dir,
        tmp_path / "bundle",
        EngineSpec("audio_encoder", "tensorrt_rtx", "fp16", "audio.rtx"),
        EngineSpec("audio_frontend", "tensorrt", "fp32", "frontend.plan"),
        EngineSpec("visual_encoder", "tensorrt_rtx", "fp16", "visual.rtx"),
        EngineSpec("visual_encoder", "tensorrt", "fp16", "visual.plan"),
    )
    out = tmp_path / "models"
    write_triton_repository(copy, out, max_batch_size=6)
    for graph in ("audio_frontend", "audio_encoder"):
        assert left_in(out / f"cavsync_{graph}" / "1") == {"model.onnx"}
        assert read_config(out, f"cavsync_{graph}") == read_config(repository, f"cavsync_{graph}")
    assert left_in(out / "cavsync_visual_encoder" / "1") == {"model.plan"}
    assert (out / "cavsync_visual_encoder" / "1" / "model.plan").read_text() == "tensorrt"
    config, onnx_config = (read_config(folder, "cavsync_visual_encoder") for folder in (out, repository))
    assert (config.backend, config.platform) == ("tensorrt", "tensorrt_plan")
    onnx_config.backend, onnx_config.platform = "tensorrt", "tensorrt_plan"
    assert config == onnx_config
    # A repository with a plan is recognised as one too.
    write_triton_repository(bundle_dir, out, overwrite=True)
    assert left_in(out / "cavsync_visual_encoder" / "1") == {"model.onnx"}


def test_existing_folders(bundle_dir: Path, tmp_path: Path) -> None:
    """A repository is replaced only when asked, and never one that holds anything else as well."""
    out = tmp_path / "models"
    out.mkdir()
    write_triton_repository(bundle_dir, out, max_batch_size=2)
    with pytest.raises(ConfigError, match=r"--overwrite.*--triton-repo"):
        write_triton_repository(bundle_dir, out)
    write_triton_repository(bundle_dir, out, max_batch_size=4, overwrite=True)
    assert read_config(out, "cavsync_audio_encoder").max_batch_size == 4
    assert left_in(tmp_path) == {"models"}
    for name in ("another_model/config.pbtxt", "cavsync_audio_encoder/2/model.onnx"):
        (out / name).parent.mkdir()
        (out / name).write_text("mine")
        with pytest.raises(ConfigError, match="not a Triton repository"):
            write_triton_repository(bundle_dir, out, overwrite=True)
        assert (out / name).read_text() == "mine"
        shutil.rmtree((out / name).parent)
    (out / "cavsync_audio" / "config.pbtxt").unlink()
    with pytest.raises(ConfigError, match="not a Triton repository"):
        write_triton_repository(bundle_dir, out, overwrite=True)


def test_a_bundle_and_a_file_are_not_replaced(bundle_dir: Path, tmp_path: Path) -> None:
    """Nor is a folder inside the bundle written, which would make it something else."""
    (tmp_path / "letter").write_text("dear")
    for out in (bundle_dir.parent, tmp_path / "letter"):
        with pytest.raises(ConfigError, match="not a Triton repository"):
            write_triton_repository(bundle_dir, out, overwrite=True)
    for out in (bundle_dir, bundle_dir / "models"):
        with pytest.raises(ExportError, match="lies in the bundle"):
            write_triton_repository(bundle_dir, out, overwrite=True)
    assert (tmp_path / "letter").read_text() == "dear"
    assert Bundle.open(bundle_dir).path == bundle_dir


def test_a_failure_leaves_nothing(bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after the first model: no repository where there was none, the old one where there was one."""
    write_triton_repository(bundle_dir, tmp_path / "old", max_batch_size=2)
    copyfile = shutil.copyfile

    def interrupted(source: Path, target: Path) -> Path:
        if source.name == "audio_encoder.onnx":
            raise KeyboardInterrupt
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", interrupted)
    for name in ("new", "old"):
        with pytest.raises(KeyboardInterrupt):
            write_triton_repository(bundle_dir, tmp_path / name, overwrite=True)
    assert left_in(tmp_path) == {"old"}
    assert read_config(tmp_path / "old", "cavsync_audio_encoder").max_batch_size == 2


def test_a_link_stays_a_link(bundle_dir: Path, tmp_path: Path) -> None:
    """What it points to is replaced."""
    write_triton_repository(bundle_dir, tmp_path / "disk" / "models", max_batch_size=2)
    (tmp_path / "models").symlink_to(tmp_path / "disk" / "models")
    write_triton_repository(bundle_dir, tmp_path / "models", max_batch_size=4, overwrite=True)
    assert (tmp_path / "models").is_symlink()
    assert read_config(tmp_path / "disk" / "models", "cavsync_audio_encoder").max_batch_size == 4


@pytest.mark.parametrize(
    "options",
    [{"max_batch_size": 0}, {"max_batch_size": 2**31}, {"max_queue_delay_microseconds": -1}, {"instances": 0}],
)
def test_numbers_out_of_range(options: dict[str, int], bundle_dir: Path, tmp_path: Path) -> None:
    """One sentence that names the number."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        write_triton_repository(bundle_dir, tmp_path / "models", **options)
    assert left_in(tmp_path) == set()


def test_a_changed_bundle_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    """As everywhere, by its hashes."""
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    with (tmp_path / "bundle" / "visual_encoder.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BundleError, match=r"visual_encoder\.onnx"):
        write_triton_repository(tmp_path / "bundle", tmp_path / "models")
    assert left_in(tmp_path) == {"bundle"}


def test_without_tritonclient(bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with pytest.raises(ExportError, match=r"pip install 'cavsync\[export\]'"):
        write_triton_repository(bundle_dir, tmp_path / "models")
    assert left_in(tmp_path) == set()
