"""What the count of live streams on a GPU does besides timing: both ways, rows of what fails, late pairs."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_bundle import write_fake_bundle
from fake_gpu import DEVICE, CaptureRules, fake_gpu

from cavsync.data.batches import normalised_frames


def test_streams_are_counted_in_both_ways(load, tmp_path: Path) -> None:
    """A small model in PyTorch, a bundle in ONNX Runtime: batches, the streams asked for, the most that were held."""
    bundle, results = write_fake_bundle(tmp_path / "bundle"), tmp_path / "rows.jsonl"
    words = ["--device", "cpu", "--model", "small", "--bundle", str(bundle), "--results", str(results)]
    words += ["--batches", "1", "3", "--repeats", "1", "--max-batch", "4", "--streams", "1", "3"]
    words += ["--seconds", "1", "--pairs-per-second", "4", "--late-seconds", "120"]
    load("gpu_streams").main(words)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    for way in ("torch", "onnxruntime"):
        found = [item for item in rows if item["way"] == way]
        assert [item["variant"].removeprefix(f"{way}, ") for item in found] == [
            *("batch 1", "batch 3", "1 streams", "3 streams", "most streams held: 3"),
        ]
        assert all(item["p50_ms"] > 0 for item in found)


def test_a_way_that_cannot_be_opened_is_a_row(load, tmp_path: Path) -> None:
    results = tmp_path / "rows.jsonl"
    words = ["--device", "cpu", "--ways", "onnxruntime", "--bundle", str(tmp_path / "none"), "--results", str(results)]
    load("gpu_streams").main(words)
    (row,) = [json.loads(line) for line in results.read_text().splitlines()]
    assert row["variant"] == "onnxruntime, not measured"
    assert "none" in row["failure"]


def test_a_provider_that_is_missing_is_a_row_before_anything_is_exported(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export of the published model takes minutes, which a machine that one has for ten does not have."""
    streams, results = load("gpu_streams"), tmp_path / "rows.jsonl"
    monkeypatch.setattr(streams.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(streams.measure, "provenance", lambda _: {})
    monkeypatch.setitem(sys.modules, "random_models", None)
    streams.main(["--ways", "onnxruntime", "--results", str(results)])
    (row,) = [json.loads(line) for line in results.read_text().splitlines()]
    assert row["variant"] == "onnxruntime, not measured"
    assert "CUDAExecutionProvider is not available" in row["failure"]


def test_encoders_of_live_streams_can_be_recorded(load) -> None:
    """A CUDA graph holds no copy from the host."""
    streams = load("gpu_streams")
    config = streams.SMALL.model_copy(update={"embed_dim": 128})
    with fake_gpu():
        with streams.torch.device(DEVICE):
            model = streams.CAVMAESync(config).eval()
        computed = streams.encoders(model, DEVICE)
        segment = streams.torch.zeros(4, config.audio_length, 128, device=DEVICE)
        picture = streams.torch.zeros(4, 1, config.img_size, config.img_size, 3, dtype=streams.torch.uint8).to(DEVICE)
        with CaptureRules(), streams.torch.inference_mode(), streams.torch.autocast("cuda", streams.torch.bfloat16):
            for compute, values in zip(computed, (segment, picture), strict=True):
                assert compute(values).shape == (4, config.embed_dim)


def test_pictures_are_normalised_as_in_training(load) -> None:
    streams = load("gpu_streams")
    torch, config = streams.torch, streams.SMALL
    torch.manual_seed(0)
    model = streams.CAVMAESync(config).eval()
    picture = torch.randint(0, 256, (2, 1, config.img_size, config.img_size, 3), dtype=torch.uint8)
    _, visual = streams.encoders(model, torch.device("cpu"))
    expected = model.encode_frames(normalised_frames(picture.movedim(-1, 2))).pooled
    torch.testing.assert_close(visual(picture), torch.nn.functional.normalize(expected, dim=-1))


def test_an_engine_that_breaks_is_not_a_late_one(load) -> None:
    streams = load("gpu_streams")

    class Broken:
        def run(self, values: np.ndarray, output: str) -> np.ndarray:
            raise RuntimeError("an illegal memory access")

    nothing = None
    bundle = streams.Bundle(Path(), nothing, nothing, Broken(), Broken(), 2)
    options = streams.argparse.Namespace(pairs_per_second=4.0, seconds=1.0, late_seconds=0.2)
    pair = np.zeros((1, 2), np.float32), np.zeros((1, 2), np.uint8)
    with streams.EnginePool(bundle) as pool, pytest.raises(RuntimeError, match="illegal memory access"):
        streams.trial(pool, (bundle, *pair), 2, options)


def test_late_pairs_are_not_held(load) -> None:
    """An engine that takes 30 ms a pair holds fewer than 20 streams of 4 pairs a second within 0.2 s."""
    streams = load("gpu_streams")

    class Slow:
        def run(self, values: np.ndarray, output: str) -> np.ndarray:
            time.sleep(0.03)
            return np.zeros((len(values), 2), np.float32)

    nothing = None
    bundle = streams.Bundle(Path(), nothing, nothing, Slow(), Slow(), 2)
    options = streams.argparse.Namespace(pairs_per_second=4.0, seconds=1.0, late_seconds=0.2)
    with streams.EnginePool(bundle, max_batch=1, deadline_ms=0.0) as pool:
        found = streams.trial(pool, (bundle, np.zeros((1, 2), np.float32), np.zeros((1, 2), np.uint8)), 20, options)
    assert not found["held"]
    assert found["p99_ms"] >= 200


def test_the_search_for_streams_stays_below_its_limit(load) -> None:
    found = load("live_streams").most_streams(lambda number: {"streams": number, "held": True}, 3, 10)
    assert [trial["streams"] for trial in found] == [3, 6]
