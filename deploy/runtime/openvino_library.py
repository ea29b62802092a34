"""Import OpenVINO and what belongs to it, without their telemetry."""

from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from typing import Any

from cavsync.errors import ConfigError

TELEMETRY = "openvino_telemetry"


def import_openvino(name: str = "openvino") -> Any:
    """The module `openvino` or `nncf`, which report their use on import unless their telemetry package is missing: it
    is, for as long as the import takes.

    Raises ConfigError where the module is not installed.
    """
    if sys.modules.get(name) is not None:
        return sys.modules[name]
    hidden = sys.modules.get(TELEMETRY)
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(
            f"the engine openvino needs {name}: pip install 'cavsync[openvino]', or use --engine onnxruntime"
        ) from None
    finally:
        if hidden is None:
            del sys.modules[TELEMETRY]
        else:
            sys.modules[TELEMETRY] = hidden


def openvino_core() -> Any:
    """The one `openvino.Core` of this process, never closed.

    Its CPU plugin puts up a stack for signals and takes it down with the core. Of two cores whose lives overlap, the
    second puts the first one's stack back after that was freed, and the next Ctrl-C ends in a segmentation fault.

    Raises ConfigError where OpenVINO is not installed.
    """
    return _core_of(import_openvino())


@lru_cache(maxsize=1)
def _core_of(openvino: Any) -> Any:
    return openvino.Core()
