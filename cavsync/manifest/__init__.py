"""The bundle's manifest: the model, its inputs, and the hash of every file.

A bundle is a folder of data. Nothing in it is executed or unpickled, and the manifest states the size and hash of every
file and, in `digest`, its own hash. That detects damage, not forgery, so the numbers in it are not trusted either.
Public: the names below. The limits of the entries are in `specs`.
"""

from cavsync.manifest.files import FileEntry
from cavsync.manifest.reading import (
    MANIFEST_NAME,
    describe_files,
    read_manifest,
    sha256_file,
)
from cavsync.manifest.specs import (
    CLASSIFIER,
    ENCODERS,
    FACE_GRAPHS,
    FRAME_ENCODER,
    GRAPHS,
    AudioSpec,
    Calibration,
    ClassifierSpec,
    EngineSpec,
    FaceSpec,
    FrontendSpec,
    GraphSpec,
    Manifest,
    SyncSpec,
    TensorSpec,
    VisualSpec,
)

__all__ = [
    "CLASSIFIER",
    "ENCODERS",
    "FACE_GRAPHS",
    "FRAME_ENCODER",
    "GRAPHS",
    "MANIFEST_NAME",
    "AudioSpec",
    "Calibration",
    "ClassifierSpec",
    "EngineSpec",
    "FaceSpec",
    "FileEntry",
    "FrontendSpec",
    "GraphSpec",
    "Manifest",
    "SyncSpec",
    "TensorSpec",
    "VisualSpec",
    "describe_files",
    "read_manifest",
    "sha256_file",
]
