"""A recorder without a GPU: recorded work is run again, as a CUDA graph would repeat it."""

from collections.abc import Callable

Work = Callable[[], None]


class FakeRecorder:
    """Counts what is run to warm up, what is recorded and what is repeated; `refusal` makes recording fail."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.warm_ups = self.recorded = self.replays = 0

    def warm_up(self, work: Work) -> None:
        self.warm_ups += 1
        work()

    def record(self, work: Work) -> Work:
        if self.refusal:
            raise RuntimeError(f"{self.refusal}\nCUDA kernel errors might be reported later")
        self.recorded += 1

        def replay() -> None:
            self.replays += 1
            work()

        return replay
