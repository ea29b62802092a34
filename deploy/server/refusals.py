"""Errors as sent to clients: an HTTP status and one sentence, `{"error": ...}`."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cavsync.errors import BundleError, CavsyncError

log = logging.getLogger(__name__)
FAILED = "the server failed to handle this request: see its log"


class RefusalError(CavsyncError):
    """A request that is refused; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the error response; 503 says when to try again, and 408 ends the connection, whose body is unread."""
    extra = {503: {"Retry-After": "5"}, 408: {"Connection": "close"}}.get(status, {})
    return JSONResponse({"error": message}, status, headers={**extra, **(headers or {})})


def handle_errors(app: FastAPI) -> None:
    """Install handlers that turn every error into a response of this form."""
    app.add_exception_handler(CavsyncError, _from_cavsync)
    app.add_exception_handler(HTTPException, _from_http)
    app.add_exception_handler(RequestValidationError, _from_validation)
    app.add_exception_handler(ClientDisconnect, _from_departure)
    app.add_exception_handler(Exception, _from_defect)


async def _from_cavsync(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RefusalError):
        return refusal(error.status, str(error))
    return refusal(500 if isinstance(error, BundleError) else 400, str(error))


async def _from_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    sentences = {
        404: f"there is nothing at {request.url.path}: see /openapi.json",
        405: f"{request.url.path} does not take {request.method}: see /openapi.json",
        413: "the body is larger than this server accepts: send less, or raise --max-body-mb",
    }
    headers = dict(error.headers) if error.headers else None
    return refusal(error.status_code, sentences.get(error.status_code, str(error.detail)), headers)


async def _from_validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    return refusal(400, f"{place}: {first['msg']}: see /openapi.json")


async def _from_departure(request: Request, _error: Exception) -> JSONResponse:
    log.info("the client left before the end of its body: %s", request.url.path)
    return refusal(400, "the body ended too early: send it again")


async def _from_defect(_request: Request, _error: Exception) -> JSONResponse:
    return refusal(500, FAILED)
