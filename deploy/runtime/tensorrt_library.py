"""TensorRT's two libraries: how they are called, installed and imported, and what they say when something fails."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from cavsync.deploy.runtime.reasons import reason
from cavsync.errors import ConfigError


@dataclass(frozen=True)
class Product:
    """One library. `choice` is its word after `cavsync export --trt`, `install` the command that brings it."""

    name: str
    module: str
    choice: str
    install: str


PRODUCTS = {
    "tensorrt": Product(
        "TensorRT",
        "tensorrt",
        "tensorrt",
        "`pip install tensorrt` (what PyPI has is a stub that downloads the library from pypi.nvidia.com)",
    ),
    "tensorrt_rtx": Product("TensorRT-RTX", "tensorrt_rtx", "rtx", "`pip install 'cavsync[trt]'`"),
}
"""By the names that the manifest gives to runtimes."""

# Without a driver every refusal is followed by one of these, whatever its cause.
NO_DRIVER = re.compile(r"cudaError 35|CUDA driver version is insufficient")
WRAPPING = re.compile(r"^.*?Error Code \d+: [\w ]+\((?P<said>.*)\)$")
ASSERTION = re.compile(r"^Assertion failed: .*\): (?P<said>.+)$|^\w+ && \"(?P<quoted>.+)\"$")
PLACE = re.compile(r"\s*\bIn \w+ at \S+:\d+|\[[\w.]+:\d+: \w+\]\s*")
# What stands above a reason, or stands for one that was not written down.
HEADING = re.compile(r"^(Invalid Node - \S*|false|-{3}.*|While parsing node .*)$")


def import_library(runtime: str) -> Any:
    """The Python module of a runtime of PRODUCTS.

    Raises:
        ConfigError: it is not installed, or its own libraries do not load.
    """
    product = PRODUCTS[runtime]
    try:
        return importlib.import_module(product.module)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"{product.name} cannot be imported here ({reason(error)}): install it with {product.install}"
        ) from None


@cache
def message_log(module: Any) -> Any:
    """The logger of a library for this process, with what went wrong as a list of texts in `errors`.

    One for all objects: while any of them lives, a library ignores the logger that the next one is given.
    """

    class MessageLog(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                self.errors.append(message)

    return MessageLog()


def first_reason(messages: Iterable[str]) -> str:
    """The first thing said that explains anything, without the places in the library's source; else empty."""
    for message in messages:
        for line in message.splitlines():
            if NO_DRIVER.search(line):
                continue
            wrapped = WRAPPING.match(line.strip())
            said = PLACE.sub("", wrapped["said"] if wrapped else line.strip())
            assertion = ASSERTION.match(said)
            if assertion:
                said = assertion["said"] or assertion["quoted"]
            said = said.strip(" .")
            if said and not HEADING.match(said):
                return said[:300]
    return ""
