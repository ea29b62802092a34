"""An image to draw on in scene coordinates, supersampled so that edges are smooth and motion is finer than a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

NO_OWNER = 0


class Canvas:
    """An image whose scene coordinates (u, v) span 0..1 over the central square, u to the right, v downwards.

    Wider frames show more at the sides. A margin around the frame, in output pixels, gives the camera room to shake.
    With `track_owners` a second image, `owners`, records which object each pixel shows: shapes drawn within
    `owned_by(name)` belong to that object, and shapes drawn over them hide it.
    """

    def __init__(self, width: int, height: int, margin: int, *, track_owners: bool = False) -> None:
        self.scale = 2 if max(width, height) <= 400 else 1
        self.margin = margin
        self.size = ((width + 2 * margin) * self.scale, (height + 2 * margin) * self.scale)
        self.side = min(width, height) * self.scale
        self.left = (self.size[0] - self.side) / 2
        self.top = (self.size[1] - self.side) / 2
        self._owner = NO_OWNER
        self.owner_names: list[str] = []
        self.load(Image.new("RGB", self.size), Image.new("L", self.size) if track_owners else None)

    def load(self, image: Image.Image, owners: Image.Image | None = None) -> None:
        """Continue on copies of `image` and `owners`, which have the canvas's size."""
        self.image = image.copy()
        self.owners = None if owners is None else owners.copy()
        self._pen = ImageDraw.Draw(self.image)
        self._owner_pen = None if self.owners is None else ImageDraw.Draw(self.owners)

    @contextmanager
    def owned_by(self, name: str) -> Iterator[None]:
        """Assign what is drawn inside to the object `name`, whose pixels in `owners` are its index in `owner_names`
        plus 1."""
        if name not in self.owner_names:
            self.owner_names.append(name)
        before, self._owner = self._owner, self.owner_names.index(name) + 1
        try:
            yield
        finally:
            self._owner = before

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(u_min, v_min, u_max, v_max) of the whole canvas, margin included."""
        left, top = self.left / self.side, self.top / self.side
        return (-left, -top, 1 + left, 1 + top)

    def point(self, u: float, v: float) -> Point:
        """Return the canvas pixels of a scene point."""
        return (self.left + u * self.side, self.top + v * self.side)

    def ellipse(self, centre: Point, radii: Point, fill: Colour) -> None:
        """Draw a filled ellipse with horizontal and vertical radii in scene units."""
        x, y = self.point(*centre)
        rx, ry = max(radii[0], 0.0) * self.side, max(radii[1], 0.0) * self.side
        self._paint("ellipse", fill, (x - rx, y - ry, x + rx, y + ry))

    def rectangle(self, low: Point, high: Point, fill: Colour, radius: float = 0.0) -> None:
        """Draw a filled rectangle from upper left to lower right corner; `radius` rounds its corners."""
        box = (*self.point(*low), *self.point(*high))
        if radius > 0:
            self._paint("rounded_rectangle", fill, box, radius=radius * self.side)
        else:
            self._paint("rectangle", fill, box)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """Draw a filled polygon."""
        self._paint("polygon", fill, [self.point(*point) for point in points])

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a line with round joints and ends, `width` in scene units."""
        path = [self.point(*point) for point in points]
        self._paint("line", fill, path, width=max(1, round(width * self.side)), joint="curve")
        for end in (points[0], points[-1]):
            self.ellipse(end, (width / 2, width / 2), fill)

    def _paint(self, shape: str, fill: Colour, where: Any, **options: Any) -> None:
        """Draw one of Pillow's shapes, and the same shape in `owners` with the current owner's number."""
        getattr(self._pen, shape)(where, fill=fill, **options)
        if self._owner_pen is not None:
            getattr(self._owner_pen, shape)(where, fill=self._owner, **options)


def blend(first: Colour, second: Colour, amount: float) -> Colour:
    """Mix `first` with `amount` in [0, 1] of `second`."""
    amount = min(max(amount, 0.0), 1.0)
    red, green, blue = (round(old + (new - old) * amount) for old, new in zip(first, second, strict=True))
    return (red, green, blue)


def shade(colour: Colour, gain: float) -> Colour:
    """Return a lighter (gain > 1) or darker colour."""
    red, green, blue = (min(255, max(0, round(channel * gain))) for channel in colour)
    return (red, green, blue)
