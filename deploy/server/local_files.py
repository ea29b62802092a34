"""Files of the server's own machine: none, or those in the folders that were allowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cavsync.deploy.server.refusals import RefusalError


def local_path(text: str) -> Path | None:
    """The path that `text` names, as `file:` address or bare; None if it is another kind of address."""
    if text.startswith("/"):
        return Path(text)
    url = urlsplit(text)
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        return Path(unquote(url.path))
    return None


def allowed_file(path: Path, folders: Sequence[Path]) -> Path:
    """`path` without links, if it is a file inside one of the folders.

    Raises:
        RefusalError: anything else; whether such a file exists elsewhere is not told.
    """
    try:
        real = path.resolve()
        if any(real.is_relative_to(folder.resolve()) for folder in folders) and real.is_file():
            return real
    except (OSError, ValueError, RuntimeError):
        pass
    where = "in no folder of --allow-path" if folders else "not uploaded, and no --allow-path was given"
    raise RefusalError(403, f"{str(path)!r:.100} is {where}: upload the file")
