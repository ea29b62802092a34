"""Read request bodies: small ones into memory, uploaded files into nameless files on disk."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import IO, Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request

from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import MAX_JSON_BYTES

MAX_FIELDS = 16
MAX_NAME_LETTERS = 120


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read the body.

    Raises:
        RefusalError: it is larger than `limit_bytes`.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise RefusalError(413, f"the body is larger than the {limit_bytes} bytes accepted here: send less")
    return bytes(body)


async def read_upload(request: Request) -> tuple[str, IO[bytes], dict[str, str]]:
    """Return the name, content and other fields of the form; the size limit is enforced while reading.

    Raises:
        RefusalError: the field `file` does not hold exactly one file.
    """
    async with request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_JSON_BYTES) as form:
        uploads = [item for item in form.values() if isinstance(item, UploadFile)]
        if len(uploads) != 1 or not isinstance(form.get("file"), UploadFile):
            raise RefusalError(400, "the form contains no file: send one in the field 'file'")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        upload = uploads[0]
        file = await run_in_threadpool(_own, upload.file)
    return shown_name(upload.filename), file, fields


def shown_name(name: str | None) -> str:
    """Return the name of a file for results: the last path component given by the client, printable and short."""
    last = PurePath((name or "").replace("\\", "/")).name
    return "".join(letter for letter in last if letter.isprintable())[-MAX_NAME_LETTERS:] or "upload"


def _own(spooled: Any) -> IO[bytes]:
    """Return the same content as a file that outlives the request, without copying it."""
    # fileno() moves content that is still in memory to disk.
    number = os.dup(spooled.fileno())
    spooled.flush()
    return os.fdopen(number, "rb")
