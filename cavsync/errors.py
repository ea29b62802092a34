"""Errors that a user can act on (standard library only).

Each message is one sentence: what was wrong, what was expected, what to do. The CLI prints it and exits with 1, or
with 2 after a ConfigError; a traceback is reserved for defects of cavsync itself.
"""

from cavsync.file_names import legible


class CavsyncError(Exception):
    """Base of every error caused by the input rather than by a defect of cavsync."""

    def __str__(self) -> str:
        """The sentence; any file name in it is legible, so that every output can hold it."""
        return legible(super().__str__())


class MediaError(CavsyncError):
    """A media file or stream cannot be used.

    `reason` is a word for counting errors: missing, empty, unreadable, no_video, no_audio, corrupt, truncated,
    too_short, length_mismatch, frame_count, no_face, incomplete, unfinished, label, unsupported, invalid.
    """

    def __init__(self, message: str, *, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class BundleError(CavsyncError):
    """A bundle is missing, incomplete, changed, inconsistent, or of an unknown version."""


class CheckpointError(CavsyncError):
    """A checkpoint does not fit the model: keys missing or left over, unknown layout, unreadable file."""


class ConfigError(CavsyncError):
    """A configuration value is unknown, out of range, or contradicts another."""


class DataError(CavsyncError):
    """A data set cannot be used: nothing in it is readable, or its frame count differs from the model's."""


class ExportError(CavsyncError):
    """An exported graph computes something else than the model, or a bundle cannot be written."""


class BackendError(CavsyncError):
    """The backend asked for is missing on this machine or cannot compute these inputs."""
