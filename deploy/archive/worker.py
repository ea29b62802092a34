"""The actor of the cluster: one per worker, with one bundle in a scoring process."""

from __future__ import annotations

import socket
from dataclasses import replace
from tempfile import gettempdir

from cavsync import __version__
from cavsync.deploy.archive.messages import Refusal
from cavsync.deploy.archive.rows import FileRows
from cavsync.deploy.archive.scoring_process import ScoringProcess
from cavsync.deploy.archive.setup import Setup, local_bundle
from cavsync.deploy.archive.sources import Source
from cavsync.errors import BundleError, ConfigError


class Worker:
    """Scores files on one machine of the cluster; `score` runs in as many threads as the setup has streams."""

    def __init__(self, setup: Setup, content: dict[str, bytes] | None) -> None:
        self._setup = setup
        self._content = content
        self._process: ScoringProcess | None = None

    def open(self) -> Refusal | None:
        """Open the bundle, once, before any `score`."""
        if __version__ != self._setup.version:
            return Refusal(
                f"a machine of the cluster has cavsync {__version__}, this one {self._setup.version}: install the same "
                "version on all of them",
                is_config=True,
            )
        try:
            bundle = local_bundle(self._setup, self._content)
            self._content = None
            self._process = ScoringProcess(replace(self._setup, bundle=bundle))
            self._process.open()
        except (BundleError, ConfigError) as error:
            return Refusal.of(error)
        except OSError as error:
            return _no_room(error)
        return None

    def score(self, source: Source) -> FileRows | Refusal:
        """Score a file."""
        assert self._process is not None
        try:
            return self._process.score(source)
        except (BundleError, ConfigError) as error:
            return Refusal.of(error)
        except OSError as error:
            return _no_room(error)


def _no_room(error: OSError) -> Refusal:
    """The error of a machine that cannot store the bundle or start a process, which every file would meet there."""
    return Refusal(
        f"{socket.gethostname()} cannot open the bundle ({error.strerror or error}): free space in {gettempdir()} and "
        "memory there, and continue with --resume",
        is_config=False,
    )
