"""TensorRT's two libraries: names, installation, import, and their messages on failure."""

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
    """One library. `choice` is its value of `cavsync export --trt`, `install` the command that installs it."""

    name: str
    module: str
    choice: str
    install: str


PRODUCTS = {
    "tensorrt": Product(
        "TensorRT",
        "tensorrt",
        "tensorrt",
        "`pip install 'cavsync[tensorrt]'` (a stub that downloads the library from pypi.nvidia.com)",
    ),
    "tensorrt_rtx": Product("TensorRT-RTX", "tensorrt_rtx", "rtx", "`pip install 'cavsync[trt]'`"),
}
"""By their names in the manifest."""

# Without a driver, one of these follows every refusal, whatever its cause.
NO_DRIVER = re.compile(r"cudaError 35|CUDA driver version is insufficient")
WRAPPING = re.compile(r"^.*?Error Code \d+: [\w ]+\((?P<text>.*)\)$")
ASSERTION = re.compile(r"^Assertion failed: .*\): (?P<text>.+)$|^\w+ && \"(?P<quoted>.+)\"$")
PLACE = re.compile(r"\s*\bIn \w+ at \S+:\d+|\[[\w.]+:\d+: \w+\]\s*")
# Headings of a reason, and placeholders for a missing one.
HEADING = re.compile(r"^(Invalid Node - \S*|false|-{3}.*|While parsing node .*)$")


def import_library(runtime: str) -> Any:
    """Import the Python module of a runtime of PRODUCTS.

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
    """Return the only logger of a library in this process; it collects error messages in `errors`.

    All objects share it, because a library ignores a second logger while an object with the first one exists.
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
    """Return the first message that explains the failure, without locations in the library's source, or ""."""
    for message in messages:
        for line in message.splitlines():
            if NO_DRIVER.search(line):
                continue
            wrapped = WRAPPING.match(line.strip())
            text = PLACE.sub("", wrapped["text"] if wrapped else line.strip())
            assertion = ASSERTION.match(text)
            if assertion:
                text = assertion["text"] or assertion["quoted"]
            text = text.strip(" .")
            if text and not HEADING.match(text):
                return text[:300]
    return ""
