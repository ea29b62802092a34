"""Build TensorRT engines of exported graphs, each with a sidecar that describes it."""

from cavsync.deploy.runtime.sidecar import BatchProfile
from cavsync.export.trt.build import BuiltEngine, build_engine
from cavsync.export.trt.engines import write_engines
from cavsync.export.trt.library import Choice, Library, find_library

__all__ = ["BatchProfile", "BuiltEngine", "Choice", "Library", "build_engine", "find_library", "write_engines"]
