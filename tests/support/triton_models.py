"""Models of a Triton repository, opened as Triton opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb


def read_config(repository: Path, model: str) -> Any:
    """The configuration of a model, parsed as Triton parses it: an unknown field is an error."""
    return text_format.Parse((repository / model / "config.pbtxt").read_text(), pb.ModelConfig())


def open_session(repository: Path, model: str) -> Any:
    """The ONNX file that Triton would open."""
    return onnxruntime.InferenceSession(str(repository / model / "1" / "model.onnx"))
