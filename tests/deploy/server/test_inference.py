"""The Open Inference Protocol v2 by Triton's own client, against ONNX Runtime itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from live_sender import course_chunks
from server_process import ServerProcess, serving
from serving import Client, answers_until
from waiting import PATIENCE_SECONDS, wait_until

from cavsync.deploy import Bundle
from cavsync.deploy.runtime.engines import Engine
from cavsync.deploy.server.settings import MAX_INFERENCES

triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

PATH = "/v2/models/audio_encoder/infer"
HEADER = "inference-header-content-length"
LARGE = 250
INPUTS = {
    "audio_frontend": ("waveform", "FP32", (1, 4000)),
    "audio_encoder": ("log_mel", "FP32", (5, 6, 128)),
    "visual_encoder": ("frames", "UINT8", (3, 3, 16, 16, 3)),
}


def values(name: str) -> np.ndarray:
    _, datatype, shape = INPUTS[name]
    random = np.random.default_rng(7)
    if datatype == "UINT8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    return (random.normal(-8, 3, shape) if name == "audio_encoder" else random.normal(0, 0.1, shape)).astype(np.float32)


def computed(bundle_path: Path, name: str) -> dict[str, np.ndarray]:
    """The graph run by ONNX Runtime without anything of ours."""
    session = onnxruntime.InferenceSession(bundle_path / f"{name}.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUTS[name][0]: values(name)}), strict=True))


@pytest.fixture(scope="module")
def server(bundle_path: Path) -> Iterator[ServerProcess]:
    with serving(bundle_path) as process:
        yield process


@pytest.fixture
def remote(server: ServerProcess) -> Iterator[Any]:
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield client
    client.close()


def test_health_and_metadata(remote: Any, bundle_path: Path) -> None:
    assert remote.is_server_live()
    assert remote.is_server_ready()
    assert remote.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for name, (tensor, datatype, shape) in INPUTS.items():
        assert remote.is_model_ready(name)
        assert remote.is_model_ready(name, "1")
        assert not remote.is_model_ready(name, "2")
        found = remote.get_model_metadata(name)
        assert (found["name"], found["versions"]) == (name, ["1"])
        (described,) = found["inputs"]
        assert (described["name"], described["datatype"]) == (tensor, datatype)
        assert all(have in (-1, want) for have, want in zip(described["shape"], shape, strict=True))
        assert {output["name"] for output in found["outputs"]} == set(computed(bundle_path, name))
    assert not remote.is_model_ready("other")


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_results_are_those_of_the_runtime(
    remote: Any, bundle_path: Path, name: str, binary_in: bool, binary_out: bool
) -> None:
    wanted = computed(bundle_path, name)
    given = triton.InferInput(INPUTS[name][0], list(INPUTS[name][2]), INPUTS[name][1])
    given.set_data_from_numpy(values(name), binary_data=binary_in)
    asked = [triton.InferRequestedOutput(output, binary_data=binary_out) for output in wanted]
    result = remote.infer(name, [given], outputs=asked, request_id="request 7", model_version="1")
    head = result.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == (name, "1", "request 7")
    for output, array in wanted.items():
        assert ("data" in result.get_output(output)) is not binary_out
        np.testing.assert_allclose(result.as_numpy(output), array, atol=1e-5)


def test_all_outputs_without_a_wish(remote: Any, bundle_path: Path) -> None:
    given = triton.InferInput("log_mel", [5, 6, 128], "FP32")
    given.set_data_from_numpy(values("audio_encoder"))
    result = remote.infer("audio_encoder", [given])
    for output, array in computed(bundle_path, "audio_encoder").items():
        np.testing.assert_allclose(result.as_numpy(output), array, atol=1e-5)


def test_errors_reach_tritons_client(remote: Any) -> None:
    given = triton.InferInput("log_mel", [1, 7, 128], "FP32")
    given.set_data_from_numpy(np.zeros((1, 7, 128), np.float32))
    with pytest.raises(triton.InferenceServerException, match="shape of log_mel") as found:
        remote.infer("audio_encoder", [given])
    assert found.value.status() == "400"
    with pytest.raises(triton.InferenceServerException, match="no model") as found:
        remote.infer("other", [given])
    assert found.value.status() == "404"


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "log_mel", "datatype": "FP32", "shape": [1, 6, 128], "data": [0.0] * 768}
    return {"inputs": [{**tensor, **changes}]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 5000, "JSON"),
        ({}, "exactly one input"),
        ({"inputs": [{}, {}]}, "exactly one input"),
        ({"inputs": "x", "parameters": {}}, "exactly one input"),
        ({"inputs": [], "parameters": 3}, "not a JSON object"),
        (request(name="frames"), "send log_mel"),
        (request(datatype="FP64"), "send log_mel"),
        (request(shape=[1, 6]), "shape"),
        (request(shape=[1, 6, -128]), "shape"),
        (request(shape=[1, 6, 128.0]), "shape"),
        (request(shape=[True, 6, 128]), "shape"),
        (request(shape=[2**40, 6, 128]), "send [-1, 6, 128], where -1 is any size up to 256"),
        (request(shape=[257, 6, 128]), "at most 256"),
        (request(shape="x"), "shape"),
        (request(data=[0.0] * 767), "numbers"),
        (request(data=[[0.0], [0.0, 1.0]]), "numbers"),
        (request(data="x" * 768), "numbers"),
        (request(data=None), "numbers"),
        (request(data=[None] * 768), "numbers"),
        (request(data=[1e39] * 768), "NaN or infinite"),
        (request(data=[float("nan")] * 768), "NaN or infinite"),
        (request(parameters={"binary_data_size": 3072}), "make them agree"),
        (request(parameters={"binary_data_size": "x"}), "make them agree"),
        ({**request(), "outputs": [{"name": "none"}]}, "does not exist or was requested twice"),
        (
            {**request(), "outputs": [{"name": "embedding"}, {"name": "embedding"}]},
            "does not exist or was requested twice",
        ),
        ({**request(), "outputs": "x"}, "does not exist or was requested twice"),
    ],
)
def test_requests_that_cannot_be(client: Client, content: Any, words: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    response = client.post("/v2/models/audio_encoder/infer", content=body)
    assert response.status_code == 400, response.text
    assert words in response.json()["error"]


def test_bytes_out_of_range_are_refused(client: Client) -> None:
    shape = [1, 3, 16, 16, 3]
    for number in (-1, 256, 0.5):
        tensor = {"name": "frames", "datatype": "UINT8", "shape": shape, "data": [0] * 2303 + [number]}
        response = client.post("/v2/models/visual_encoder/infer", json={"inputs": [tensor]})
        assert (response.status_code, "0 to 255" in response.json()["error"]) == (400, True)


@pytest.mark.parametrize("length", ["-1", "0", "x", "1e3", "999999", "9" * 50, "5"])
def test_header_lengths_that_cannot_be(client: Client, length: str) -> None:
    headers = {"inference-header-content-length": length}
    response = client.post("/v2/models/audio_encoder/infer", json=request(), headers=headers)
    assert (response.status_code, "error" in response.json()) == (400, True)


def test_bodies_that_are_compressed_or_too_large(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v2/models/audio_encoder/infer"
    assert client.post(path, content=b"x", headers={"content-encoding": "gzip"}).status_code == 415
    monkeypatch.setattr("cavsync.deploy.server.inference_routes.MAX_INFERENCE_JSON_BYTES", 1000)
    assert client.post(path, json=request()).status_code == 413
    assert client.get("/v2/health/live").status_code == 200


class Held:
    """An engine that computes large batches only once it is let go."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.num_held = 0
        self.go = threading.Event()

    def run(self, values: np.ndarray, output: str) -> np.ndarray:
        if len(values) == LARGE:
            self.num_held += 1
            assert self.go.wait(PATIENCE_SECONDS)
        return self._engine.run(values, output)


@pytest.fixture
def held(bundle: Bundle) -> Iterator[tuple[Held, Client, Callable[[], Any]]]:
    """An engine, a client of its server, and what sends it a large request in the background."""
    held = Held(bundle.audio)
    content = request(shape=[LARGE, 6, 128], data=[0] * (LARGE * 768)) | {"outputs": [{"name": "embedding"}]}
    with Client(replace(bundle, audio=held)) as client, ThreadPoolExecutor() as executor:
        yield held, client, lambda: executor.submit(client.post, PATH, json=content)
        held.go.set()


def wait_until_held(held: Held, count: int) -> None:
    wait_until(lambda: held.num_held >= count)


def test_a_large_request_holds_up_no_stream(held: tuple[Held, Client, Callable[[], Any]]) -> None:
    engine, client, ask = held
    asked = ask()
    wait_until_held(engine, 1)
    with client.stream("one") as socket:
        for _, message in course_chunks(4):
            socket.send_bytes(message)
        assert answers_until(socket, "window")[-1]["state"] == "in_sync"
    engine.go.set()
    assert asked.result(PATIENCE_SECONDS).status_code == 200


def test_only_so_many_requests_are_computed_at_once(held: tuple[Held, Client, Callable[[], Any]]) -> None:
    engine, client, ask = held
    asked = [ask() for _ in range(MAX_INFERENCES)]
    wait_until_held(engine, MAX_INFERENCES)
    refused = client.post(PATH, json=request())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    engine.go.set()
    assert [one.result(PATIENCE_SECONDS).status_code for one in asked] == [200] * MAX_INFERENCES
    assert client.post(PATH, json=request()).status_code == 200


def test_json_may_be_less_long_than_bytes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((LARGE, 6, 128), np.float32)
    for module in ("inference_routes", "tensors"):
        monkeypatch.setattr(f"cavsync.deploy.server.{module}.MAX_INFERENCE_JSON_BYTES", values.nbytes // 10)
    padded = json.dumps(request()).encode() + b" " * (values.nbytes // 10)
    for headers in ({}, {HEADER: str(len(padded))}):
        assert client.post(PATH, content=padded, headers=headers).status_code == 413
    size = {"binary_data_size": values.nbytes}
    head = json.dumps(request(shape=[*values.shape], data=None, parameters=size)).encode()
    answer = client.post(PATH, content=head + values.tobytes(), headers={HEADER: str(len(head))})
    assert answer.status_code == 200


def test_audio_shorter_than_a_frame_is_a_sentence(client: Client) -> None:
    tensor = {"name": "waveform", "datatype": "FP32", "shape": [1, 100], "data": [0.0] * 100}
    response = client.post("/v2/models/audio_frontend/infer", json={"inputs": [tensor]})
    assert (response.status_code, "400 samples" in response.json()["error"]) == (400, True)
