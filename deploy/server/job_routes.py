"""/v1/jobs: score files that are uploaded or named by URL."""

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

# The report contains its style and no script; the sandbox is a second line of defence.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
MULTIPART = "multipart/form-data"
Options = TypeVar("Options", bound=ScoreOptions)


class UrlJob(ScoreOptions):
    """A file on the web, or in a folder given by --allow-path."""

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
    """Add the routes under /v1/jobs."""
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
    """Upload a file (multipart form, field `file`) or name one (`{"url": ...}`); options are further fields."""
    if request.query_params:
        raise RefusalError(
            400, "the address contains options: send the options of a job as fields of the form or of the JSON"
        )
    is_upload = request.headers.get("content-type", "").partition(";")[0].strip().lower() == MULTIPART
    # Reserve a slot before reading the first byte, so that the number of waiting uploads is bounded too.
    with services.jobs.place():
        job = await _submit_upload(request, services) if is_upload else await _submit_url(request, services)
    return JSONResponse(job.to_dict(), 202, headers={"Location": f"/v1/jobs/{job.id}"})


async def _submit_upload(request: Request, services: Services) -> Job:
    name, file, fields = await read_upload(request)
    try:
        options = _parsed(ScoreOptions, fields).resolved(services.bundle.manifest.sync, services.settings.scoring)
        return services.jobs.submit(name, lambda _: file, options, discard=file.close)
    except BaseException:
        file.close()
        raise


async def _submit_url(request: Request, services: Services) -> Job:
    wanted = _parsed(UrlJob, await _json(request))
    options = wanted.resolved(services.bundle.manifest.sync, services.settings.scoring)
    name, opener = _opener(wanted.url, services)
    return services.jobs.submit(name, opener, options)


def list_jobs(services: Shared) -> dict[str, Any]:
    """Return all jobs that are kept."""
    return {"jobs": [job.to_dict() for job in services.jobs.list()]}


def show(job_id: str, services: Shared) -> dict[str, Any]:
    """Return one job."""
    return services.jobs.get(job_id).to_dict()


def remove(job_id: str, services: Shared) -> Response:
    """Cancel a job if it has not ended, and forget it."""
    services.jobs.remove(job_id)
    return Response(status_code=204)


def result(job_id: str, services: Shared) -> dict[str, Any]:
    """Return the decisions in order, with the fields of `cavsync score`'s JSON lines, and the summary."""
    job = _done(services, job_id)
    return {"summary": job.summary, "windows": job.windows}


def report(job_id: str, services: Shared) -> HTMLResponse:
    """Return the page that `cavsync score --html` writes."""
    job = _done(services, job_id)
    return HTMLResponse(job.report_html, headers={"Content-Security-Policy": REPORT_POLICY})


def _done(services: Services, job_id: str) -> Job:
    job = services.jobs.get(job_id)
    if job.state != DONE:
        raise RefusalError(409, f"job {job.id} is {job.state}{f' ({job.error})' if job.error else ''}: no result")
    return job


def _opener(text: str, services: Services) -> tuple[str, Callable[[Job], IO[bytes]]]:
    """Return the name of a file and a function that opens it at the job's turn.

    An address that can already be recognised as forbidden is refused at once.
    """
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
