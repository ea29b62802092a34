"""What the routes share, and how it begins and ends with the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.engine_pool import EnginePool
from cavsync.deploy.metrics import SyncMetrics, timed
from cavsync.deploy.server.jobs import JobQueue
from cavsync.deploy.server.settings import ServerSettings
from cavsync.deploy.server.streams import StreamRegistry
from cavsync.deploy.server.watched_streams import WatchedStreams

log = logging.getLogger(__name__)
SWEEP_SECONDS = 1.0


@dataclass(frozen=True)
class Services:
    """The model, the jobs, the streams and the metrics of one server. All that is scored shares one pool of engines.

    `stopping` is set when the server is told to end: what lasts (watchers, streams) then ends by itself.
    """

    settings: ServerSettings
    bundle: Bundle
    jobs: JobQueue
    streams: StreamRegistry
    watched: WatchedStreams
    registry: CollectorRegistry
    compute: ThreadPoolExecutor
    pool: EnginePool
    stopping: asyncio.Event

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Tidy up while the server runs; end everything with it."""
        for name, url in self.settings.watch:
            self.watched.watch(name, url, {"profile": self.settings.profile})
        sweeper = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            self.stopping.set()
            sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeper
            await asyncio.to_thread(self.watched.close)
            await asyncio.to_thread(self.jobs.close)
            self.compute.shutdown(wait=True, cancel_futures=True)
            await asyncio.to_thread(self.pool.close)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.jobs.sweep()
            self.streams.sweep()


def make_services(bundle: Bundle, settings: ServerSettings) -> Services:
    """Everything a server needs besides its routes."""
    registry = CollectorRegistry()
    metrics = SyncMetrics(registry)
    streams = StreamRegistry(settings, metrics)
    pool = EnginePool(timed(bundle, metrics))
    return Services(
        settings=settings,
        bundle=pool.bundle,
        jobs=JobQueue(pool.bundle, settings),
        streams=streams,
        watched=WatchedStreams(pool.bundle, settings, streams),
        registry=registry,
        compute=ThreadPoolExecutor(settings.max_streams, thread_name_prefix="stream"),
        pool=pool,
        stopping=asyncio.Event(),
    )


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that a request belongs to."""
    services: Services = connection.app.state.services
    return services


Shared = Annotated[Services, Depends(services_of)]
