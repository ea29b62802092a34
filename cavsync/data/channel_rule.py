"""Compare how stored audio was mixed to one channel with what the user asks for."""

from __future__ import annotations

from pathlib import Path

from cavsync.errors import DataError
from cavsync.media.resample import ChannelRule


def require_channels(path: Path, stored: ChannelRule | None, wanted: ChannelRule | None) -> None:
    """Raise DataError where the audio of `path` was stored by another rule than the one wanted.

    stored: None where nothing is known. wanted: None for any.
    """
    if stored is not None and wanted is not None and stored != wanted:
        raise DataError(
            f"{path} holds audio that was made with channels={stored}, asked for is channels={wanted}: make it again "
            f"with --channels {wanted}, or ask for {stored}"
        )
