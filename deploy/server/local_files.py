"""Access to the server's own files: only those in the folders of --allow-path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cavsync.deploy.server.refusals import RefusalError


def local_path(text: str) -> Path | None:
    """Return the path that `text` names, bare or as a `file:` address; None for any other address."""
    if text.startswith("/"):
        return Path(text)
    url = urlsplit(text)
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        return Path(unquote(url.path))
    return None


def allowed_file(path: Path, folders: Sequence[Path]) -> Path:
    """Resolve links and return `path` if it is a file inside one of the folders.

    Raises:
        RefusalError: anything else; the message does not reveal whether the file exists.
    """
    try:
        real = path.resolve()
        if any(real.is_relative_to(folder.resolve()) for folder in folders) and real.is_file():
            return real
    except (OSError, ValueError, RuntimeError):
        pass
    where = "in no folder of --allow-path" if folders else "not uploaded, and no --allow-path was given"
    raise RefusalError(403, f"{str(path)!r:.100} is {where}: upload the file")
