"""/v1/jobs: score files that are uploaded or named by URL."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import IO, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import Field

from cavsync.deploy.server.fetch import checked_url, fetch
from cavsync.deploy.server.jobs import DONE, Job
from cavsync.deploy.server.local_files import local_file
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.score_options import ScoreOptions
from cavsync.deploy.server.services import Services, Shared
from cavsync.deploy.server.settings import MAX_JSON_BYTES
from cavsync.deploy.server.upload import read_body, read_upload, shown_name
from cavsync.file_names import legible

# The report contains its style and no script; the sandbox is a second line of defence.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
MULTIPART = "multipart/form-data"
FORM = f"send a file as {MULTIPART} in the field 'file' (curl -F file=@clip.mp4), or the JSON {{\"url\": ...}}"
router = APIRouter(prefix="/v1/jobs", tags=["files"])


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


@router.post("", status_code=202, summary="Score a file", openapi_extra={"requestBody": REQUEST_BODY})
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
        options = ScoreOptions.parsed(fields).resolved(services.bundle.manifest, services.settings.scoring)
        return services.jobs.submit(name, lambda _: file, options, discard=file.close)
    except BaseException:
        file.close()
        raise


async def _submit_url(request: Request, services: Services) -> Job:
    wanted = UrlJob.parsed(await _json(request))
    options = wanted.resolved(services.bundle.manifest, services.settings.scoring)
    name, opener = _opener(wanted.url, services)
    return services.jobs.submit(name, opener, options)


@router.get("", summary="All jobs, the newest first")
def list_jobs(services: Shared) -> dict[str, Any]:
    """Return all jobs that are kept."""
    return {"jobs": [job.to_dict() for job in services.jobs.list()]}


@router.get("/{job_id}", summary="State, progress and verdict of a job")
def show(job_id: str, services: Shared) -> dict[str, Any]:
    """Return one job."""
    return services.jobs.get(job_id).to_dict()


@router.delete("/{job_id}", status_code=204, summary="Cancel and forget a job")
def remove(job_id: str, services: Shared) -> Response:
    """Cancel a job if it has not ended, and forget it."""
    services.jobs.remove(job_id)
    return Response(status_code=204)


@router.get("/{job_id}/result", summary="Every decision and the summary")
def result(job_id: str, services: Shared) -> dict[str, Any]:
    """Return the decisions in order, with the fields of `cavsync score`'s JSON lines, and the summary."""
    job = _done(services, job_id)
    return {"summary": job.summary, "windows": job.windows, "tracks": job.tracks}


@router.get("/{job_id}/report", summary="The report as a page")
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
    path = local_file(text, settings.allow_paths)
    if path is not None:
        return legible(path.name), lambda _: path.open("rb")
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
    try:
        return json.loads(await read_body(request, MAX_JSON_BYTES))
    except RefusalError as refusal:
        raise RefusalError(
            refusal.status, f"the body is larger than the {MAX_JSON_BYTES} bytes of a request: {FORM}"
        ) from None
    except (ValueError, RecursionError):
        raise RefusalError(400, f"the body is neither {MULTIPART} nor JSON: {FORM}") from None
