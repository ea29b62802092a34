"""The ASGI application: routes, request guard and error handling for one open bundle."""

from __future__ import annotations

from fastapi import FastAPI

from cavsync import __version__
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.server import inference_routes, job_routes, page_routes, stream_routes
from cavsync.deploy.server.guard import Guard
from cavsync.deploy.server.limits.bodies import BodyLimits
from cavsync.deploy.server.refusals import handle_errors
from cavsync.deploy.server.services import make_services
from cavsync.deploy.server.settings import MAX_JSON_BYTES, ServerSettings

DESCRIPTION = (
    "Audio-visual sync of files and live streams. A positive `audio_offset_ms` means that the audio is early (ITU-R "
    'BT.1359). Errors are `{"error": "one sentence"}`. Live streams are sent over a WebSocket at `/v1/streams/{name}`: '
    "a binary message is a line of JSON, a line feed and the bytes of a frame or of audio; a text message is a control."
)


def create_app(bundle: Bundle, settings: ServerSettings) -> FastAPI:
    """Return an ASGI application that serves `bundle`; `app.state.services` holds the state shared by its routes."""
    services = make_services(bundle, settings)
    app = FastAPI(
        title="cavsync",
        version=__version__,
        description=DESCRIPTION,
        lifespan=services.lifespan,
        # FastAPI's documentation pages load scripts from other sites.
        docs_url=None,
        redoc_url=None,
        max_body_size=MAX_JSON_BYTES,
    )
    app.state.services = services
    handle_errors(app)
    app.include_router(job_routes.router, max_body_size=settings.max_body_bytes + MAX_JSON_BYTES)
    for module in (stream_routes, inference_routes, page_routes):
        app.include_router(module.router)
    app.add_middleware(BodyLimits, settings=settings)
    # The last one added is the first to see a request.
    app.add_middleware(Guard, settings=settings)
    return app
