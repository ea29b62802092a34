"""Scoring with libcavsync, the library in C++, from Python: the decisions of `SyncScorer`, without its engines.

The library is the one that CAVSYNC_LIBRARY names, the one in this package (wheels of `make native-wheel`), or the
system's.
"""

from __future__ import annotations

import ctypes as c
import importlib.util
import os
import weakref
from dataclasses import replace
from functools import cache
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.native_structures import (
    NUMBERS,
    PATHS,
    BundleInfo,
    BundleOptions,
    ChangeOfEvent,
    Frame,
    Options,
    Record,
    SeenFace,
)
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.runtime.engines import ONNX_RUNTIME
from cavsync.deploy.stream.checks import check_frame, checked_seconds
from cavsync.deploy.stream.options import DEFAULT_OPTIONS, ScoringKeywords, ScoringOptions
from cavsync.deploy.verdict.events import EventChange, check_rules
from cavsync.deploy.verdict.profiles import CUSTOM
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import BackendError, BundleError, CavsyncError, ConfigError, MediaError

__all__ = ["NativeBundle", "NativeScorer", "native_engines"]

LIBRARY_VARIABLE = "CAVSYNC_LIBRARY"
ABI_VERSION = 1
FILE_NAME = f"libcavsync.so.{ABI_VERSION}"
PACKAGED = Path(__file__).resolve().parent / "lib" / FILE_NAME
AT_ONCE = 64
NEWEST = "scorer_process_faces"
"""A function that older libraries lack."""
# By the values of enumerations in cavsync_types.h. Of the mistakes of a program (1), only a push after a flush is
# possible here; `SyncScorer` gives a MediaError for it.
ERRORS = {1: MediaError, 2: ConfigError, 3: BundleError, 4: MediaError, 5: ConfigError, 7: MemoryError}
BEGIN_AFTER, END_AFTER = 2, 3
SAMPLE_FORMATS = {"float32": 0, "int16": 1}


class Library:
    """The loaded library.

    Raises:
        BackendError: it is missing, cannot be loaded, or has another interface.
    """

    def __init__(self, path: str) -> None:
        try:
            _load_onnxruntime()
            self.functions = c.CDLL(path)
            version = self.functions.cavsync_abi_version()
            getattr(self.functions, f"cavsync_{NEWEST}")
        except (OSError, AttributeError) as error:
            raise BackendError(
                f"libcavsync cannot be loaded ({error}): build it with `make native` and name the file in "
                f"{LIBRARY_VARIABLE}"
            ) from error
        if version != ABI_VERSION:
            raise BackendError(
                f"{path} has interface version {version}: build version {ABI_VERSION} with `make native`"
            )
        for name in ("last_error", "engine_name", "provider_name"):
            getattr(self.functions, f"cavsync_{name}").restype = c.c_char_p

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status; another status than 0 becomes an error with the library's sentence."""
        status = getattr(self.functions, f"cavsync_{name}")(*arguments)
        if status:
            raise ERRORS.get(status, RuntimeError)(self.functions.cavsync_last_error().decode())

    def names(self, kind: str) -> list[str]:
        """Return the names of a numbered list, `engine` or `provider`."""
        name_of = getattr(self.functions, f"cavsync_{kind}_name")
        found = takewhile(bool, (name_of(c.c_size_t(number)) for number in count()))
        return [name.decode() for name in found]

    def initialised(self, structure: Any, name: str) -> Any:
        """Fill a structure that has grown with its size and zeroes, and return it."""
        init = getattr(self.functions, f"cavsync_{name}_init_sized")
        init(c.byref(structure), c.c_size_t(c.sizeof(structure)))
        return structure


def _load_onnxruntime() -> None:
    """Load the runtime of the Python package, if there is one, under the name with which the library looks for it."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is not None and spec.origin is not None:
        for file in sorted(Path(spec.origin).parent.glob("capi/libonnxruntime.so.*")):
            c.CDLL(str(file))


def load() -> Library:
    """Load the library that is found (see the module), once.

    Raises:
        BackendError: it is missing, cannot be loaded, or has another interface.
    """
    return _loaded(os.environ.get(LIBRARY_VARIABLE) or (str(PACKAGED) if PACKAGED.exists() else FILE_NAME))


@cache
def _loaded(path: str) -> Library:
    return Library(path)


def native_engines() -> list[str]:
    """Return the engines of the library that is found, as in ["onnxruntime", "openvino"].

    Raises:
        BackendError: it is missing, cannot be loaded, or has another interface.
    """
    return load().names("engine")


class NativeBundle:
    """A bundle opened by the library; scorers may share it.

    Args:
        path: the bundle folder; by default the packaged one.
        threads: threads inside one operator; 0 lets the runtime choose.
        engine: what computes the encoders: onnxruntime, openvino, tensorrt, tensorrt_rtx, one with :PRECISION, or auto.
            OpenVINO computes the ONNX graphs of a bundle that has no OpenVINO engines.
        provider: execution provider of ONNX Runtime: cpu, cuda or tensorrt.
        device: number of the GPU of the providers cuda and tensorrt, and of TensorRT engines.

    Raises:
        BundleError: missing, changed or inconsistent bundle.
        ConfigError: an engine, a provider or a number of threads that cannot be used here.
        BackendError: the library is missing.
    """

    engine: str
    """Engine that runs the encoders, as in "openvino:int8"."""

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        threads: int = 0,
        engine: str = ONNX_RUNTIME,
        provider: str = "cpu",
        device: int = 0,
    ) -> None:
        self.library = load()
        self.handle = c.c_void_p()
        options = self.library.initialised(BundleOptions(), "bundle_options")
        options.threads, options.device = threads, device
        options.engine, options.provider = engine.encode(), provider.encode()
        folder = os.fsencode(default_bundle() if path is None else path)
        self.library.call("bundle_open", folder, c.byref(options), c.byref(self.handle))
        weakref.finalize(self, self.library.functions.cavsync_bundle_close, self.handle)
        info = self.library.initialised(BundleInfo(), "bundle_info")
        self.library.call("bundle_describe", self.handle, c.byref(info))
        self.engine = info.engine.decode()


class NativeScorer:
    """Scores one stream as `SyncScorer` does, by the whole picture and by faces.

    Its decisions have `face`, but neither `faces`, `curve` nor `features`. After a BundleError of a model that fails,
    or a MemoryError, only `reset` helps.

    Args:
        bundle: an opened bundle.
        options: how to score.
        follows_events: keep the beginnings and ends of events for `take_events`.
        begin_after: number of decisions that begin an event, see `EventTracker`; with `follows_events` only.
        end_after: number of decisions that end it; likewise.
        keywords: fields of `ScoringOptions`, in place of those of `options`.

    Raises:
        ConfigError: an option that cannot be used, by itself, with this bundle or with the library.
    """

    def __init__(
        self,
        bundle: NativeBundle,
        options: ScoringOptions = DEFAULT_OPTIONS,
        *,
        follows_events: bool = False,
        begin_after: int = BEGIN_AFTER,
        end_after: int = END_AFTER,
        **keywords: Unpack[ScoringKeywords],
    ) -> None:
        check_rules(begin_after, end_after)
        if not follows_events and (begin_after, end_after) != (BEGIN_AFTER, END_AFTER):
            raise ConfigError("begin_after and end_after need follows_events: make the scorer with that too")
        self._library = bundle.library
        self._handle = c.c_void_p()
        self._follows_events = follows_events
        given = _as_structure(self._library, replace(options, **keywords))
        if follows_events:
            given.follows_events, given.begin_after, given.end_after = True, begin_after, end_after
        self._library.call("scorer_create", bundle.handle, c.byref(given), c.byref(self._handle))
        weakref.finalize(self, self._library.functions.cavsync_scorer_destroy, self._handle)

    def push_video(self, frame: NDArray[np.uint8], *, pts_seconds: float) -> list[SyncScore]:
        """Add one frame, RGB (H, W, 3) uint8, shown from `pts_seconds` on; return the decisions now due.

        Raises:
            MediaError: a frame of another shape or type, or a timestamp that is not finite; the scorer stays usable.
        """
        check_frame(frame)
        given, pixels = Frame(), np.ascontiguousarray(frame)
        self._library.functions.cavsync_frame_init(c.byref(given))
        given.height, given.width = pixels.shape[:2]
        given.planes[0], given.strides[0] = pixels.ctypes.data, 3 * given.width
        self._call("push_video", c.byref(given), c.c_double(checked_seconds(pts_seconds)))
        return self._decisions()

    def push_audio(
        self, samples: NDArray[np.float32] | NDArray[np.int16], *, pts_seconds: float, sample_rate_hz: int = 16_000
    ) -> list[SyncScore]:
        """Add audio, float32 in [-1, 1] or int16, (n,) or (n, channels), that starts at `pts_seconds`; return the
        decisions now due.

        Raises:
            MediaError: audio of another shape or type, samples or a timestamp that are not finite, or a rate that the
                timestamps contradict; the scorer stays usable.
        """
        values = np.ascontiguousarray(samples)
        if values.ndim not in (1, 2) or values.dtype.name not in SAMPLE_FORMATS:
            raise MediaError(f"audio is {values.dtype} {values.shape}: push float32 or int16, (n,) or (n, channels)")
        self._call(
            "push_audio",
            c.c_void_p(values.ctypes.data),
            SAMPLE_FORMATS[values.dtype.name],
            c.c_size_t(len(values)),
            c.c_int32(1 if values.ndim == 1 else values.shape[1]),
            c.c_int32(sample_rate_hz),
            c.c_double(checked_seconds(pts_seconds)),
        )
        return self._decisions()

    def flush(self) -> list[SyncScore]:
        """End the stream; return the remaining decisions. A stream shorter than one window gives one decision."""
        self._call("flush")
        return self._decisions()

    def reset(self) -> None:
        """Forget the stream; the next push starts a new one. An open event ends."""
        self._call("reset")

    def take_events(self) -> list[EventChange]:
        """Return the beginnings and ends of events that the decisions since the last call have caused, and the end of
        one that was open at the end of the stream or at a reset.

        Raises:
            ConfigError: the scorer was made without `follows_events`.
        """
        if not self._follows_events:
            raise ConfigError("this scorer follows no events: make it with follows_events=True")
        return [change.to_change() for (change,) in self._taken("take_events", ChangeOfEvent)]

    def _call(self, name: str, *arguments: Any) -> None:
        self._library.call(f"scorer_{name}", self._handle, *arguments)

    def _decisions(self) -> list[SyncScore]:
        return [record.to_score(face.to_view()) for record, face in self._taken("process_faces", Record, SeenFace)]

    def _taken(self, name: str, *kinds: type[c.Structure]) -> list[tuple[Any, ...]]:
        """Call a function that fills arrays of structures until it has no more."""
        count = c.c_size_t(AT_ONCE)
        found: list[tuple[Any, ...]] = []
        while count.value == AT_ONCE:
            arrays = [(kind * AT_ONCE)() for kind in kinds]
            try:
                self._call(name, *arrays, c.c_size_t(AT_ONCE), c.byref(count))
            except (CavsyncError, MemoryError):
                # The next call gives the error again.
                if found:
                    break
                raise
            found += list(zip(*arrays, strict=True))[: count.value]
        return found


def _as_structure(library: Library, options: ScoringOptions) -> Any:
    given, limits = library.initialised(Options(), "options"), options.limits
    given.path, given.adaptive = PATHS.index(options.path), options.adaptive
    given.profile = limits.name.encode()
    if limits.name == CUSTOM:
        given.early_ms, given.late_ms = limits.early_ms, limits.late_ms
    for name in NUMBERS:
        setattr(given, name, getattr(options, name) or 0.0)
    return given
