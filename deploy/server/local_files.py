"""Access to the server's own files: only those in the folders of --allow-path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cavsync.deploy.server.refusals import RefusalError


def local_file(text: str, folders: Sequence[Path]) -> Path | None:
    """Return the file that `text` names, bare or as a `file:` address, without links; None for any other address.

    Raises:
        RefusalError: no file inside one of the folders; the message does not reveal whether it exists.
    """
    if text.startswith("/"):
        path = Path(text)
    elif (url := urlsplit(text)).scheme == "file" and url.netloc in ("", "localhost"):
        path = Path(unquote(url.path))
    else:
        return None
    try:
        real = path.resolve()
        if any(real.is_relative_to(folder.resolve()) for folder in folders) and real.is_file():
            return real
    except (OSError, ValueError, RuntimeError):
        pass
    where = "in no folder of --allow-path" if folders else "not uploaded, and no --allow-path was given"
    raise RefusalError(403, f"{str(path)!r:.100} is {where}: upload the file")
