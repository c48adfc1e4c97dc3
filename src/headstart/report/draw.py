"""Small drawings in inline SVG. Horizontal places are per cent of the width, so that a drawing
stretches from a phone to a printed page while its text and strokes keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from headstart.records import Interval
from headstart.report.section import fill

EDGE = 3.0  # per cent left free on either side, so that no mark is cut


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale from `low` to `high` with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the place of `value` in per cent of the width; outside values stay at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return round(EDGE + (100 - 2 * EDGE) * min(1.0, max(0.0, share)), 2)


def axis(
    values: Iterable[float],
    *,
    floor: float = -math.inf,
    ceiling: float = math.inf,
    ticks: int = 5,
) -> Axis:
    """Return a scale that holds all finite `values` between `floor` and `ceiling`.

    The ends are multiples of a round step (1, 2 or 5 times a power of ten); about `ticks` steps.
    """
    kept = [min(ceiling, max(floor, v)) for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(kept), max(kept)
    if high - low < 1e-12 * max(1.0, abs(high)):
        slack = 0.05 * abs(high) or 0.5
        low, high = max(floor, low - slack), min(ceiling, high + slack)
    rough = (high - low) / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    places = tuple(round(i * step, 12) for i in range(first, last + 1))
    return Axis(places[0], places[-1], places)


def tag(name: str, content: str = "", /, **attributes: str | float | None) -> Markup:
    """Return one SVG element; attribute values are escaped, `_` in their names becomes `-`."""
    parts = [
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    ]
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup("").join(parts), escape(content))


def line(x1: str, y1: float | str, x2: str, y2: float | str, class_: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def canvas(parts: Iterable[Markup], height: float | str, class_: str) -> Markup:
    """Return an SVG as wide as its place; hidden from screen readers, who get the text beside."""
    return tag(
        "svg",
        Markup("").join(parts),
        class_=class_,
        width="100%",
        height=height,
        aria_hidden="true",
        focusable="false",
    )


def grid(scale: Axis, height: float | str) -> list[Markup]:
    """Return one faint upright line a tick."""
    return [line(f"{scale.at(t)}%", 0, f"{scale.at(t)}%", height, "grid") for t in scale.ticks]


def tick_labels(scale: Axis, texts: Sequence[str], y: float) -> list[Markup]:
    """Return the tick texts, each under its line."""
    return [
        tag("text", text, x=f"{scale.at(place)}%", y=y, text_anchor="middle", class_="tick")
        for place, text in zip(scale.ticks, texts, strict=True)
    ]


def interval_mark(
    scale: Axis, interval: Interval, y: float, class_: str, about: str = ""
) -> list[Markup]:
    """Return a dot with its interval as a bar; an arrow head where a bar leaves the scale.

    about: what it says when pointed at; the parts are then one mark.
    """
    marks = []
    low, high = interval.low, interval.high
    if low is not None and high is not None and high >= scale.low and low <= scale.high:
        left, right = f"{scale.at(low)}%", f"{scale.at(high)}%"
        marks.append(line(left, y, right, y, f"bar {class_}"))
        slack = 1e-9 * (scale.high - scale.low)
        for edge, inside in ((left, low >= scale.low - slack), (right, high <= scale.high + slack)):
            if inside:
                marks.append(line(edge, y - 5, edge, y + 5, f"bar {class_}"))
    if scale.low <= interval.value <= scale.high:
        marks.append(tag("circle", cx=f"{scale.at(interval.value)}%", cy=y, r=6, class_=class_))
    else:
        arrow = "◂" if interval.value < scale.low else "▸"
        anchor = "start" if interval.value < scale.low else "end"
        place = 0 if interval.value < scale.low else 100
        marks.append(tag("text", arrow, x=f"{place}%", y=y + 5, text_anchor=anchor, class_="off"))
    return [tag("g", tag("title", about) + Markup("").join(marks))] if about else marks


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """Return a path through points given in per cent of a square that is stretched later."""
    places = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return tag("polyline", points=places, class_=class_, vector_effect="non-scaling-stroke")


def series(name: str, parts: Iterable[Markup]) -> Markup:
    """Return parts that a legend's entry of that name puts away and brings back."""
    return tag("g", Markup("").join(parts), data_series=name)


LEGEND = """
<ul class="legend">
{% for name, text, swatch in entries %}
<li data-series="{{ name }}">{{ swatch }}{{ text }}</li>
{% endfor %}</ul>
"""


def legend(entries: Iterable[tuple[str, str, Markup]]) -> Markup:
    """Return a legend of (series, what it is, how it looks); a script makes entries buttons."""
    return fill(LEGEND, entries=list(entries))


def stroke(class_: str) -> Markup:
    """Return how a line of a legend looks."""
    return tag(
        "svg", line("1", 5, "27", 5, f"curve {class_}"), width=28, height=10, aria_hidden="true"
    )


def roles() -> Markup:
    """Return the legend of a drawing in which dots are pretrained models and baselines."""
    return legend(
        (role, text, tag("svg", tag("circle", class_=role, cx=8, cy=8, r=6), width=16, height=16,
                         aria_hidden="true"))
        for role, text in (("candidate", "pretrained model"), ("baseline", "baseline"))
    )  # fmt: skip
