"""A cluster in one thread in place of `ray`: actors answer in turn, and the test decides which of them are lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any


class RayError(Exception):
    """Base of what Ray raises."""


class RayTaskError(RayError):
    """An exception in an actor's method."""


class _Exceptions:
    RayError, RayTaskError = RayError, RayTaskError


@dataclass(eq=False)
class Call:
    """A call of an actor's method; its result is computed when it is asked for."""

    actor: FakeActor
    name: str
    arguments: tuple[Any, ...]


class FakeActor:
    """An actor; `lost` makes its calls raise."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lost = self.killed = False

    def __getattr__(self, name: str) -> Any:
        actor = self

        class _Method:
            @staticmethod
            def remote(*arguments: Any) -> Call:
                assert not actor.killed
                return Call(actor, name, arguments)

        return _Method


@dataclass
class FakeRay:
    """`open_actor` and `score` are called with the number of the actor; what they raise ends the actor."""

    score: Callable[[int, Any], Any]
    open_actor: Callable[[int], Any] = lambda number: None
    resources: dict[str, float] = field(default_factory=lambda: {"CPU": 4.0})
    actors: list[FakeActor] = field(default_factory=list)
    most_alive: int = 0
    random: Random = field(default_factory=lambda: Random(0))
    exceptions = _Exceptions

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Any:
        ray = self

        class _Class:
            @staticmethod
            def remote(*arguments: Any) -> FakeActor:
                ray.actors.append(FakeActor(len(ray.actors)))
                ray.most_alive = max(ray.most_alive, sum(not actor.killed for actor in ray.actors))
                return ray.actors[-1]

        return lambda _: _Class

    def wait(self, refs: list[Call], *, num_returns: int, timeout: float) -> tuple[list[Call], list[Call]]:
        # As in a real cluster, the first to be ready is not the first that was sent.
        ready = self.random.choice(refs)
        return [ready], [ref for ref in refs if ref is not ready]

    def get(self, call: Call) -> Any:
        if call.actor.lost:
            raise RayError("the actor is dead")
        try:
            function = self.open_actor if call.name == "open" else self.score
            return function(call.actor.number, *call.arguments)
        except RayError:
            call.actor.lost = True
            raise

    def kill(self, actor: FakeActor) -> None:
        actor.killed = True
