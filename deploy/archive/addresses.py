"""Names of files in archives: which are names of the same file, and what of an address may be shown."""

from __future__ import annotations

import os
import re
import string
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

from cavsync.errors import ConfigError, DataError
from cavsync.file_names import HIDDEN, is_address, redact

WEB = {"http": 80, "https": 443}
# Other names of the same store.
SCHEMES = {"s3a": "s3", "gcs": "gs"}
# Hadoop and Spark write file:/data/a.mp4, others file:///data/a.mp4.
_FILE = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/.*)", re.IGNORECASE | re.DOTALL)
_USER = re.compile(r"(?<=://)[^/?#]*@")
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")


def local_name(name: str) -> str:
    """Return the path of a `file:` address, and any other name as it is. DataError for a file of another machine."""
    found = _FILE.fullmatch(name)
    if found is None:
        return name.removeprefix("local://")
    if (found["host"] or "").lower() not in ("", "localhost"):
        raise DataError(f"{name} is a file of another machine: give a path of this one, or an address of a store")
    return os.fsdecode(unquote_to_bytes(os.fsencode(found["path"])))


def scheme_of(address: str) -> str:
    """Return the scheme of an address, such as `https`; empty for a path."""
    return address.partition("://")[0].lower() if is_address(address) else ""


def place_of(address: str) -> str:
    """Return a web address without its query and fragment, and any other name as it is: its end says what it is."""
    return re.split(r"[?#]", address, maxsplit=1)[0] if scheme_of(address) in WEB else address


def shown(address: str) -> str:
    """Return the name of a list or folder for messages and for OUT: of the query of a web address nothing is shown."""
    place = place_of(address)
    return redact(place) if place == address else f"{redact(place)}?{HIDDEN}"


def identity(name: str) -> str:
    """Return what is the same for all names of a file, and for no two files: hard links count as two.

    Links are followed. Of web addresses, case and port of the host, dot segments and escapes may differ.
    """
    if not is_address(name):
        try:
            return os.path.realpath(name)
        except (OSError, ValueError):
            # A name that the system does not take is an error of that file alone.
            return name
    scheme, rest = scheme_of(name), name.partition("://")[2]
    if scheme not in WEB:
        return f"{SCHEMES.get(scheme, scheme)}://{rest}"
    try:
        parts = urlsplit(name)
        port = "" if parts.port in (None, WEB[scheme]) else f":{parts.port}"
    except ValueError:
        return name
    query = f"?{parts.query}" if parts.query else ""
    return _normal_escapes(f"{scheme}://{(parts.hostname or '').lower()}{port}{_without_dots(parts.path)}{query}")


def require_no_password(address: str) -> None:
    """Raise ConfigError for an address with a password, which would stand in every table and report."""
    hidden = redact(address)
    if scheme_of(address) in WEB:
        # A user without a password may be a token.
        hidden = _USER.sub(f"{HIDDEN}@", hidden, count=1)
    if hidden != address:
        raise ConfigError(
            f"{hidden} has a password or a key in it, which OUT would store: give the plain address, and the "
            "credentials in the environment"
        )


def absolute(name: str, folder: Path) -> str:
    """Return a path as an absolute one, meant from `folder`; links are kept."""
    return os.path.abspath(folder.absolute() / name)  # noqa: PTH100 - links are kept


def _without_dots(path: str) -> str:
    """Remove `.` and `..` from the path of an address, as web clients do."""
    kept: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    return "/" + "/".join(kept)


def _normal_escapes(text: str) -> str:
    """Escape what has to be, and nothing else, in capitals."""
    plain = _PERCENT.sub(lambda found: _unreserved(found[1]), text)
    return quote(plain, safe="%/:@!$&'()*+,;=~-._?[]", errors="surrogateescape")


def _unreserved(digits: str) -> str:
    character = chr(int(digits, 16))
    return character if character in _UNRESERVED else f"%{digits.upper()}"
