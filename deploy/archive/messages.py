"""Messages between a worker and its scoring process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cavsync.deploy.archive.rows import FileRows
from cavsync.deploy.archive.sources import Source
from cavsync.errors import BundleError, ConfigError


@dataclass(frozen=True)
class Job:
    """A file to score; what comes back has its number."""

    number: int
    source: Source


@dataclass(frozen=True)
class Ready:
    """The bundle is open."""


@dataclass(frozen=True)
class Refusal:
    """An error that every file would meet: of the configuration, or of the bundle."""

    message: str
    is_config: bool

    @classmethod
    def of(cls, error: BundleError | ConfigError) -> Self:
        """Return an error as a message."""
        return cls(str(error), isinstance(error, ConfigError))

    @property
    def error(self) -> BundleError | ConfigError:
        """The error itself."""
        return ConfigError(self.message) if self.is_config else BundleError(self.message)


@dataclass(frozen=True)
class Progress:
    """More of a file was read."""

    number: int


@dataclass(frozen=True)
class Done:
    """The rows of a file."""

    number: int
    rows: FileRows


Reply = Ready | Refusal | Progress | Done
