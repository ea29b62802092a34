"""Errors that a user can act on (standard library only).

Each message is one sentence: what was wrong, what was expected, what to do. The CLI prints it and exits with 1 (ConfigError: 2);
a traceback is reserved for defects of cavsync itself.
"""


class CavsyncError(Exception):
    """Base of every error that is the input's fault rather than ours."""


class MediaError(CavsyncError):
    """A media file or stream cannot be used.

    `reason` is a short word for counting: missing, empty, unreadable, no_video, no_audio, corrupt, truncated,
    too_short, length_mismatch, frame_count, incomplete, unfinished, label, unsupported, invalid.
    """

    def __init__(self, message: str, *, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class BundleError(CavsyncError):
    """A bundle is missing, incomplete, changed, or of an unknown version."""


class CheckpointError(CavsyncError):
    """A checkpoint does not fit the model: keys missing or left over, unknown layout, unreadable file."""


class ConfigError(CavsyncError):
    """A configuration value is unknown, out of range, or contradicts another."""


class DataError(CavsyncError):
    """A data set cannot be used: nothing readable, a frame count that disagrees with the model."""


class ExportError(CavsyncError):
    """An exported graph does not compute what the model computes, or a bundle cannot be written."""


class BackendError(CavsyncError):
    """A backend was asked for that does not exist here or cannot compute these inputs."""
