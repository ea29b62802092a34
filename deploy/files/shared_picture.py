"""One picture, scored against several audio tracks: what is computed from frames alone is computed once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.engines import Engine

KEPT_RESULTS = 64
"""More than one frame with its faces needs, for scorers that take every frame in turn."""


def with_shared_picture(bundle: Bundle) -> Bundle:
    """Return the bundle for scorers that get the same frames one after another; not to be used by several threads."""
    faces = bundle.faces
    if faces is not None:
        faces = replace(faces.with_engines(_Remembering), audio=faces.audio)
    return replace(bundle, visual=_Remembering(bundle.visual), faces=faces)


class _Remembering:
    """An engine that returns its latest results again for the same input."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._results: OrderedDict[tuple[str, tuple[int, ...], bytes], NDArray[np.float32]] = OrderedDict()

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """See `Engine.run`."""
        key = output, values.shape, hashlib.blake2b(values.tobytes()).digest()
        found = self._results.get(key)
        if found is None:
            found = self._results[key] = self._engine.run(values, output)
            while len(self._results) > KEPT_RESULTS:
                self._results.popitem(last=False)
        return found.copy()
