"""What the routes share, and how it begins and ends with the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from cavsync.deploy.metrics import SyncMetrics, timed
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.pool import EnginePool
from cavsync.deploy.server.jobs import JobQueue
from cavsync.deploy.server.settings import MAX_INFERENCES, ServerSettings
from cavsync.deploy.server.streams import StreamRegistry
from cavsync.deploy.server.watched_streams import WatchedStreams

log = logging.getLogger(__name__)
SWEEP_SECONDS = 1.0


@dataclass(frozen=True)
class Services:
    """The model, the jobs, the streams and the metrics of one server.

    All that is scored shares the engines of `pool`. /v2 computes on those of `bundle` themselves, at most
    `MAX_INFERENCES` requests at a time (`inferences`): a large one would hold up every stream behind it.
    `stopping` is set when the server is told to end: what lasts (watchers, streams) then ends by itself.
    """

    settings: ServerSettings
    bundle: Bundle
    jobs: JobQueue
    streams: StreamRegistry
    watched: WatchedStreams
    registry: CollectorRegistry
    pool: EnginePool
    inferences: asyncio.Semaphore
    stopping: asyncio.Event

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Tidy up while the server runs; end everything with it."""
        sweeper = asyncio.create_task(self._sweep())
        try:
            for name, url in self.settings.watch:
                self.watched.watch(name, url, self.settings.scoring)
            yield
        finally:
            self.stopping.set()
            sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeper
            await asyncio.to_thread(self.watched.close)
            await asyncio.to_thread(self.jobs.close)
            await asyncio.to_thread(self.pool.close)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self.jobs.sweep()
                self.streams.sweep()
            except Exception:
                # Else nothing would ever be forgotten again.
                log.exception("tidying up failed")


def make_services(bundle: Bundle, settings: ServerSettings) -> Services:
    """Everything a server needs besides its routes.

    Raises:
        ConfigError: settings of `scoring` that cannot be used with this bundle.
    """
    settings.scoring.grid_for(bundle.manifest.sync)
    registry = CollectorRegistry()
    metrics = SyncMetrics(registry)
    streams = StreamRegistry(settings, metrics)
    measured = timed(bundle, metrics)
    pool = EnginePool(measured, workers=settings.engine_workers)
    return Services(
        settings=settings,
        bundle=measured,
        jobs=JobQueue(pool.bundle, settings),
        streams=streams,
        watched=WatchedStreams(pool.bundle, settings, streams),
        registry=registry,
        pool=pool,
        inferences=asyncio.Semaphore(MAX_INFERENCES),
        stopping=asyncio.Event(),
    )


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that a request belongs to."""
    services: Services = connection.app.state.services
    return services


Shared = Annotated[Services, Depends(services_of)]
