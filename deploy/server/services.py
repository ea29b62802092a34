"""The state shared by the routes, and its start and end with the server."""

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

    Jobs and streams share the engines of `pool`. /v2 uses the engines of `bundle` directly, at most `MAX_INFERENCES`
    requests at a time (`inferences`), because a large request in the pool would delay every stream. `stopping` is set
    when the server is told to end; watchers and streams then end by themselves.
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
        """Remove what has expired while the server runs; end everything with it."""
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
                # An exception must not end the loop, or nothing would expire any more.
                log.exception("removing expired jobs and streams failed")


def make_services(bundle: Bundle, settings: ServerSettings) -> Services:
    """Create everything a server needs except its routes.

    Raises:
        ConfigError: the settings of `scoring` do not suit this bundle.
    """
    settings.scoring.check(bundle.manifest)
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
    """Return the services of the application that received a request."""
    services: Services = connection.app.state.services
    return services


Shared = Annotated[Services, Depends(services_of)]
