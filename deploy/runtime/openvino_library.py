"""Import OpenVINO and NNCF without their telemetry."""

from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from typing import Any

from cavsync.errors import ConfigError

TELEMETRY = "openvino_telemetry"


def import_openvino(name: str = "openvino") -> Any:
    """Import `openvino` or `nncf`. They report their use on import unless their telemetry package is missing, so it is
    hidden during the import.

    Raises:
        ConfigError: the module is not installed.
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
    """Return the only `openvino.Core` of this process; it is never closed.

    The CPU plugin installs a signal stack with a core and restores the former one when the core is closed. If the lives
    of two cores overlap, the second restores the first one's stack after it was freed, and the next Ctrl-C ends in a
    segmentation fault.

    Raises:
        ConfigError: OpenVINO is not installed.
    """
    return _core_of(import_openvino())


@lru_cache(maxsize=1)
def _core_of(openvino: Any) -> Any:
    return openvino.Core()
