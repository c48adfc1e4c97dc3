"""Drawings with two axes, in inline SVG that stretches; text keeps its size outside of it.

A drawing is a stack of layers over two axes. Places are per cent of a square that is stretched to
the page, so that strokes keep their width; a dot is a line without length and with round ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from headstart.report import words
from headstart.report.draw import Axis, axis, canvas, line, polyline, tag, tick_labels
from headstart.report.section import fill

T = TypeVar("T")
Point = tuple[float, float]
NOTHING = Markup("")
STOPS = 40  # points of a line that say their value
TOP, TALL = 4.0, 92.0  # per cent above the highest tick, and between highest and lowest


@dataclass(frozen=True, slots=True)
class Plane:
    """Two axes with the texts of their ticks."""

    x: Axis
    y: Axis
    x_texts: tuple[str, ...]
    y_texts: tuple[str, ...]

    def place(self, point: Point) -> Point:
        """Return where a point is drawn; one outside stays at the edge."""
        share = (self.y.high - point[1]) / (self.y.high - self.y.low)
        return self.x.at(point[0]), round(TOP + TALL * min(1.0, max(0.0, share)), 2)


def log_axis(low: float, high: float) -> tuple[Axis, tuple[str, ...]]:
    """Return an axis over log10 of values in [low, high], low > 0, and the texts of its ticks.

    Ticks are 1, 2 and 5 times powers of ten, the powers alone where those are many, and more where
    they would be fewer than two.
    """
    first, last = math.log10(low), math.log10(high)
    if last - first < 0.3:
        first, last = first - 0.15, last + 0.15
    steps = (1,) if last - first > 3 else (1, 3) if last - first > 1.6 else (1, 2, 5)
    for tried in (steps, (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        values = [
            m * 10.0**p for p in range(math.floor(first), math.ceil(last) + 1) for m in tried
            if first - 1e-9 <= math.log10(m * 10.0**p) <= last + 1e-9
        ]  # fmt: skip
        if len(values) > 1:
            break
    texts = tuple(f"{v:,.10g}" for v in values)
    return Axis(first, last, tuple(math.log10(v) for v in values)), texts


def share_axis(values: Sequence[float], *, floor: float = 0.0) -> tuple[Axis, tuple[str, ...]]:
    """Return an axis of shares within [floor, 1], its ticks in per cent."""
    made = axis(values, floor=floor, ceiling=1.0, ticks=4)
    return made, tuple(f"{100 * t:.6g} %" for t in made.ticks)


def number_axis(
    values: Sequence[float], *, ceiling: float = math.inf
) -> tuple[Axis, tuple[str, ...]]:
    """Return an axis of plain numbers."""
    made = axis(values, ceiling=ceiling, ticks=4)
    step = made.ticks[1] - made.ticks[0]
    return made, tuple(words.number(t, step * 10) for t in made.ticks)


def path(plane: Plane, points: Sequence[Point], class_: str) -> Markup:
    """Return a line through points."""
    return polyline([plane.place(point) for point in points], class_)


def dots(
    plane: Plane, points: Sequence[Point], class_: str, titles: Sequence[str] = ()
) -> list[Markup]:
    """Return a dot a point; a title is what hovering over it says."""
    found = []
    for at, point in enumerate(points):
        x, y = plane.place(point)
        about = tag("title", titles[at]) if titles else Markup("")
        found.append(
            tag("path", about, d=f"M{x} {y}h0", class_=f"dot {class_}",
                vector_effect="non-scaling-stroke")
        )  # fmt: skip
    return found


def stops(
    plane: Plane, points: Sequence[Point], class_: str, titles: Sequence[str]
) -> list[Markup]:
    """Return dots along a line that are seen only when pointed at; at most about STOPS of them."""
    kept = thinned(range(len(points)), STOPS)
    return dots(plane, [points[i] for i in kept], f"stop {class_}", [titles[i] for i in kept])


def thinned(values: Sequence[T], most: int) -> list[T]:
    """Return every n-th value, and the last one, so that about `most` are left."""
    stride = max(1, len(values) // most)
    return [*values[::stride], *(values[-1:] if len(values) and (len(values) - 1) % stride else [])]


def whisker(plane: Plane, x: float, low: float, high: float, class_: str) -> Markup:
    """Return an upright bar from low to high at x."""
    (at, bottom), (_, top) = plane.place((x, low)), plane.place((x, high))
    return tag("line", x1=at, y1=bottom, x2=at, y2=top, class_=f"whisker {class_}",
               vector_effect="non-scaling-stroke")  # fmt: skip


def band(plane: Plane, points: Sequence[tuple[float, float, float]], class_: str) -> Markup:
    """Return the area between low and high over (x, low, high)."""
    edge = [plane.place((x, low)) for x, low, _ in points]
    edge += [plane.place((x, high)) for x, _, high in reversed(points)]
    return tag("polygon", points=" ".join(f"{x},{y}" for x, y in edge), class_=f"band {class_}")


PANEL = """
<figure class="panel{{ ' square'|safe if square }}"><figcaption>{{ title }}</figcaption>
<div class="axes">{{ left }}{{ plot }}<span></span>{{ below }}</div>
{% if along %}<p class="along">{{ along }}</p>{% endif %}
{% if spoken %}<p class="away">{{ spoken }}</p>{% endif %}
{{ values }}</figure>
"""


def panel(
    title: str, plane: Plane, layers: Sequence[Markup], *, along: str = "", spoken: str = "",
    height: int = 220, square: bool = False, values: Markup = NOTHING,
) -> Markup:  # fmt: skip
    """Return a figure.

    along: what the x axis is; spoken: what the drawing says, for those who listen; values: the same
    as a table.
    """
    lines = []
    for t in plane.y.ticks:
        level = plane.place((plane.x.low, t))[1]
        lines.append(line("0", level, "100", level, "grid"))
    labels = [
        tag("text", text, x="100%", y=f"{plane.place((plane.x.low, t))[1]}%", dy=4,
            text_anchor="end", class_="tick")
        for t, text in zip(plane.y.ticks, plane.y_texts, strict=True)
    ]  # fmt: skip
    plot = tag(
        "svg", Markup("").join([*lines, *layers]), viewBox="0 0 100 100",
        preserveAspectRatio="none", class_="plot", style=f"height:{height}px", role="img",
        aria_label=title,
    )  # fmt: skip
    below = canvas(tick_labels(plane.x, plane.x_texts, 14), 20, "x")
    return fill(
        PANEL, title=title, left=canvas(labels, height, "y"), plot=plot, below=below, along=along,
        spoken=spoken, square=square, values=values,
    )  # fmt: skip
