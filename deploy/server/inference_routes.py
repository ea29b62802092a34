"""/v2: the whole picture's graphs over the Open Inference Protocol v2 (KServe, Triton Inference Server)."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from cavsync import __version__
from cavsync.deploy.runtime.engines import Engine
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.services import Services, Shared
from cavsync.deploy.server.settings import MAX_INFERENCE_BYTES, MAX_INFERENCE_JSON_BYTES, MAX_INFERENCES, MAX_JSON_BYTES
from cavsync.deploy.server.tensors import DATATYPES, read_input, split_body, wanted_outputs, write_outputs
from cavsync.deploy.server.upload import read_body
from cavsync.manifest import FRAME_ENCODER, GRAPHS, GraphSpec, TensorSpec
from cavsync.media.align import FRAME_LENGTH_SAMPLES

HEADER_LENGTH = "Inference-Header-Content-Length"
VERSION = "1"
router = APIRouter(prefix="/v2", tags=["inference"], max_body_size=MAX_INFERENCE_BYTES + MAX_JSON_BYTES)


@router.get("", summary="Name and extensions of the server")
def about() -> dict[str, Any]:
    """Return the server metadata."""
    return {"name": "cavsync", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live", summary="Whether the server answers")
def live() -> dict[str, bool]:
    """Liveness."""
    return {"live": True}


@router.get("/health/ready", summary="Whether the models can be used")
def ready(services: Shared) -> JSONResponse:
    """Return the readiness. The bundle is opened before the server starts, so only a shutdown makes it unready."""
    is_ready = not services.stopping.is_set()
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("/models/{name}/versions/{version}", summary="Inputs and outputs of a model")
@router.get("/models/{name}", summary="Inputs and outputs of a model")
def metadata(name: str, services: Shared, version: str = VERSION) -> dict[str, Any]:
    """Return the metadata of a model."""
    spec, _ = _graph(services, name, version)
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "onnx",
        "inputs": [_described(tensor) for tensor in spec.inputs],
        "outputs": [{**_described(tensor), "datatype": "FP32"} for tensor in spec.outputs],
    }


@router.get("/models/{name}/versions/{version}/ready", summary="Whether a model can be used")
@router.get("/models/{name}/ready", summary="Whether a model can be used")
def model_ready(name: str, services: Shared, version: str = VERSION) -> dict[str, Any]:
    """Return the readiness of a model."""
    _graph(services, name, version)
    return {"name": name, "ready": True}


@router.post("/models/{name}/versions/{version}/infer", summary="Compute")
@router.post("/models/{name}/infer", summary="Compute")
async def infer(name: str, request: Request, services: Shared, version: str = VERSION) -> Response:
    """Run one graph on one input, sent as JSON or with the binary tensor data extension."""
    spec, engine = _graph(services, name, version)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RefusalError(415, "the body is compressed: send it uncompressed")
    if services.inferences.locked():
        raise RefusalError(503, f"{MAX_INFERENCES} requests are being computed, the most allowed: try again later")
    asked_length = request.headers.get(HEADER_LENGTH)
    # Reserve a slot before reading the first byte, so that the number of waiting bodies is bounded too.
    async with services.inferences:
        body = await read_body(request, MAX_INFERENCE_JSON_BYTES if asked_length is None else MAX_INFERENCE_BYTES)
        content, header_length = await asyncio.to_thread(_computed, name, spec, engine, body, asked_length)
    if header_length is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(header_length)})


def _computed(
    name: str, spec: GraphSpec, engine: Engine, body: bytes, header_length: str | None
) -> tuple[bytes, int | None]:
    request, binary = split_body(body, header_length)
    outputs = wanted_outputs(request, spec.outputs)
    values = read_input(request, binary, spec.inputs[0])
    if name == "audio_frontend" and values.shape[-1] < FRAME_LENGTH_SAMPLES:
        raise RefusalError(
            400, f"the audio has {values.shape[-1]} samples: send at least {FRAME_LENGTH_SAMPLES} samples"
        )
    head: dict[str, Any] = {"model_name": name, "model_version": VERSION}
    if isinstance(request.get("id"), str):
        head["id"] = request["id"]
    return write_outputs(head, {output: engine.run(values, output) for output in outputs}, outputs)


def _graph(services: Services, name: str, version: str) -> tuple[GraphSpec, Engine]:
    bundle = services.bundle
    engines = dict(zip(GRAPHS, (bundle.frontend, bundle.audio, bundle.visual), strict=True))
    if bundle.pairs is not None:
        engines[FRAME_ENCODER] = bundle.pairs
    if name not in engines or version != VERSION:
        raise RefusalError(
            404, f"there is no model {name!r:.60} in version {version!r:.20}: use {', '.join(engines)} in version 1"
        )
    return bundle.manifest.graphs[name], engines[name]


def _described(tensor: TensorSpec) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in tensor.shape]
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": shape}
