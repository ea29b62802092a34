"""Notices that the reader puts into the queue between packets."""

from __future__ import annotations

from dataclasses import dataclass

from cavsync.deploy.live.decoder import Codecs
from cavsync.media.container import MediaInfo


@dataclass(frozen=True)
class Stretch:
    """A new unbroken clock begins; its packets are decoded by `codecs`. `why` says what ended the previous stretch."""

    codecs: Codecs
    info: MediaInfo
    why: str
    is_reconnection: bool = False


@dataclass(frozen=True)
class Waiting:
    """The connection failed or broke; the next try follows in `seconds`."""

    why: str
    seconds: float


@dataclass(frozen=True)
class End:
    """The last notice; `error` is None where the source ended or was stopped."""

    error: BaseException | None


Notice = Stretch | Waiting | End
