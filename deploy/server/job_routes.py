"""/v1/jobs: files to score, uploaded or named by an address."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import IO, Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import Field, ValidationError

from cavsync.deploy.server.fetch import checked_url, fetch
from cavsync.deploy.server.jobs import DONE, Job
from cavsync.deploy.server.local_files import allowed_file, local_path
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.score_options import ScoreOptions
from cavsync.deploy.server.services import Services, Shared
from cavsync.deploy.server.settings import MAX_JSON_BYTES
from cavsync.deploy.server.upload import read_body, read_upload, shown_name
from cavsync.records import problem

# The report brings its style along and no script; even so it is kept from doing anything.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
MULTIPART = "multipart/form-data"
Options = TypeVar("Options", bound=ScoreOptions)


class UrlJob(ScoreOptions):
    """A file on the web, or in a folder of --allow-path."""

    url: str = Field(max_length=2000, description="http:// or https:// address; a path only under --allow-path.")


REQUEST_BODY = {
    "required": True,
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    **ScoreOptions.model_json_schema()["properties"],
                },
            }
        },
        "application/json": {"schema": UrlJob.model_json_schema()},
    },
}


def add_job_routes(app: FastAPI, services: Services) -> None:
    """Routes under /v1/jobs."""
    router = APIRouter(prefix="/v1/jobs", tags=["files"])
    largest = services.settings.max_body_bytes + MAX_JSON_BYTES
    router.add_api_route(
        "",
        submit,
        methods=["POST"],
        status_code=202,
        summary="Score a file",
        max_body_size=largest,
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    router.add_api_route("", list_jobs, methods=["GET"], summary="All jobs, the newest first")
    router.add_api_route("/{job_id}", show, methods=["GET"], summary="State, progress and verdict of a job")
    router.add_api_route("/{job_id}", remove, methods=["DELETE"], status_code=204, summary="Cancel and forget a job")
    router.add_api_route("/{job_id}/result", result, methods=["GET"], summary="Every decision and the summary")
    router.add_api_route("/{job_id}/report", report, methods=["GET"], summary="The report as a page")
    app.include_router(router)


async def submit(request: Request, services: Shared) -> JSONResponse:
    """Upload a file (multipart form, field `file`) or name one (`{"url": ...}`), with options beside it."""
    if request.query_params:
        raise RefusalError(400, "options of a job are fields of the form or of the JSON, not of the address")
    is_upload = request.headers.get("content-type", "").partition(";")[0].strip().lower() == MULTIPART
    # The place is taken before the first byte is read, so that waiting uploads are bounded too.
    with services.jobs.place():
        job = await _submit_upload(request, services) if is_upload else await _submit_url(request, services)
    return JSONResponse(job.to_dict(), 202, headers={"Location": f"/v1/jobs/{job.id}"})


async def _submit_upload(request: Request, services: Services) -> Job:
    name, file, fields = await read_upload(request)
    try:
        options = _parsed(ScoreOptions, fields).resolved(services.bundle, services.settings.scoring)
        return services.jobs.submit(name, lambda _: file, options, discard=file.close)
    except BaseException:
        file.close()
        raise


async def _submit_url(request: Request, services: Services) -> Job:
    wanted = _parsed(UrlJob, await _json(request))
    options = wanted.resolved(services.bundle, services.settings.scoring)
    name, opener = _opener(wanted.url, services)
    return services.jobs.submit(name, opener, options)


def list_jobs(services: Shared) -> dict[str, Any]:
    """All jobs that are remembered."""
    return {"jobs": [job.to_dict() for job in services.jobs.list()]}


def show(job_id: str, services: Shared) -> dict[str, Any]:
    """One job."""
    return services.jobs.get(job_id).to_dict()


def remove(job_id: str, services: Shared) -> Response:
    """End a job if it has not ended, and forget it."""
    services.jobs.remove(job_id)
    return Response(status_code=204)


def result(job_id: str, services: Shared) -> dict[str, Any]:
    """The decisions in order, with the fields of the JSON lines of `cavsync score`, and the summary."""
    job = _done(services, job_id)
    return {"summary": job.summary, "windows": job.windows}


def report(job_id: str, services: Shared) -> HTMLResponse:
    """The page that `cavsync score --html` writes."""
    job = _done(services, job_id)
    return HTMLResponse(job.report_html, headers={"Content-Security-Policy": REPORT_POLICY})


def _done(services: Services, job_id: str) -> Job:
    job = services.jobs.get(job_id)
    if job.state != DONE:
        raise RefusalError(409, f"job {job.id} is {job.state}{f' ({job.error})' if job.error else ''}: no result")
    return job


def _opener(text: str, services: Services) -> tuple[str, Callable[[Job], IO[bytes]]]:
    """The name of a file, and what opens it once the job's turn has come; refused now where that can be known."""
    settings = services.settings
    path = local_path(text)
    if path is not None:
        real = allowed_file(path, settings.allow_paths)
        return real.name, lambda _: real.open("rb")
    url = checked_url(text)

    def download(job: Job) -> IO[bytes]:
        return fetch(
            text,
            limit_bytes=settings.max_body_bytes,
            limit_seconds=settings.max_duration_seconds,
            allow_private=settings.allow_private_addresses,
            check=job.check,
        )

    return shown_name(url.path) if url.path.strip("/") else url.netloc, download


async def _json(request: Request) -> Any:
    body = await read_body(request, MAX_JSON_BYTES)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusalError(400, f'the body is neither {MULTIPART} nor JSON: send a file or {{"url": ...}}') from None


def _parsed(kind: type[Options], values: Any) -> Options:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RefusalError(400, f"the request {problem(error)}: see /openapi.json") from None
