"""Windows decided in order, once the rows of all paths are there; the whole picture compared as far as they need it.

Where a face decides, the whole picture can only contradict it, so that it is first compared thinly: one of
`sparse_stride` frames, with one of `coarse_step` instants of the audio. Where that leaves a contradiction possible, and
wherever no face decides, the window is compared in full, so that no window lacks what it rests on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from cavsync.deploy.stream.face_path import FacePath
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.stream.rows import FULL, Density, Row, RowStream
from cavsync.deploy.stream.search import MIN_WINDOW_ROWS, coarse_step, sparse_stride
from cavsync.deploy.stream.span import TIME_TOLERANCE_SECONDS
from cavsync.deploy.stream.windows import FaceJudge, Window
from cavsync.deploy.verdict.records import SyncScore


class WindowQueue:
    """Add rows and windows in order; take decisions from `settled`.

    Args:
        stream: where the rows of the whole picture come from, compared ON_DEMAND where windows have no score.
        judge: decides about the whole picture of a window.
        faces, face_judge: the faces of the stream; None where only the whole picture is judged.
        on_row: called with each row that was compared, in order, once no window will ask for more of it.
    """

    def __init__(
        self,
        stream: RowStream,
        grid: Grid,
        judge: Callable[[Window], SyncScore],
        faces: tuple[FacePath, FaceJudge] | None,
        on_row: Callable[[Row], None] | None,
    ) -> None:
        self._stream = stream
        self._judge = judge
        self._faces = faces
        self._on_row = on_row
        self._thin = Density(sparse_stride(grid), coarse_step(grid))
        self._windows: deque[Window] = deque()
        self._rows: deque[Row] = deque()

    def __len__(self) -> int:
        return len(self._windows)

    def add_row(self, row: Row) -> None:
        """Add the next row."""
        if row.source is None:
            self._show(row)
        else:
            self._rows.append(row)

    def add(self, windows: Iterable[Window]) -> None:
        """Add the next windows."""
        self._windows.extend(windows)

    def settled(self) -> list[SyncScore]:
        """Return the decisions about the windows whose face rows are all there."""
        decisions: list[SyncScore] = []
        if self._faces is not None:
            self._faces[0].advance()
        while self._windows:
            window = self._windows[0]
            if self._faces is not None and not self._faces[0].is_complete(window.epoch, window.end_seconds):
                break
            self._windows.popleft()
            self._show_before(window)
            decisions.append(self._decide(window))
        return decisions

    def finish(self) -> None:
        """Show the remaining rows: no window will follow."""
        for row in self._rows:
            self._show(row)
        self._rows.clear()

    def _decide(self, window: Window) -> SyncScore:
        if self._faces is None:
            return self._whole(window, FULL)
        path, judge = self._faces
        faces = judge.judge(window, path.rows(window.epoch, window.start_seconds, window.end_seconds))
        path.drop_before(window.epoch, window.start_seconds - 1)
        if len(window.rows) >= MIN_WINDOW_ROWS * self._thin.stride and judge.decides(faces):
            whole = self._whole(window, self._thin)
            if judge.is_settled(whole, faces):
                return judge.combine(whole, faces)
        return judge.combine(self._whole(window, FULL), faces)

    def _whole(self, window: Window, density: Density) -> SyncScore:
        if window.score is not None:
            return window.score
        self._stream.compare(window.rows, density)
        return self._judge(window)

    def _show_before(self, window: Window) -> None:
        """Show the rows that no window from this one on holds."""
        first = window.epoch, window.start_seconds - TIME_TOLERANCE_SECONDS
        while self._rows and (self._rows[0].epoch, self._rows[0].time_seconds) < first:
            self._show(self._rows.popleft())
        if self._rows:
            self._stream.release(self._rows[0])

    def _show(self, row: Row) -> None:
        if self._on_row is not None and row.is_compared:
            self._on_row(row)
