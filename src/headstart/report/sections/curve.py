"""How training went, for every result that kept a curve in `details["curve"]`:
a list of {"step", "loss", "validation"}, where loss (training) and validation (loss on validation
data) may be missing or null.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from headstart.records import Result, RunRecord
from headstart.report import draw, words
from headstart.report.ranked import best_first
from headstart.report.section import Section, fill

MOST = 4  # curves in one drawing: as many as there are line styles
PANELS = (("loss", "Training loss"), ("validation", "Validation loss"))
POINTS = 200  # a curve; more cannot be seen

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """One result's training: (step, value) points a panel."""

    name: str
    panels: dict[str, Points]


@dataclass(frozen=True, slots=True)
class Facts:
    """Curves, best result first."""

    curves: tuple[Curve, ...]


def points_of(entries: Any, field: str) -> Points:
    """Return the finite (step, value) points of `field`, thinned to about POINTS."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        pair = (entry.get("step"), entry.get(field)) if isinstance(entry, dict) else ()
        numbers = [float(v) for v in pair if isinstance(v, int | float) and math.isfinite(v)]
        if len(numbers) == 2:
            found.append((numbers[0], numbers[1]))
    stride = max(1, len(found) // POINTS)
    kept = found[::stride]
    return tuple(kept if not found or kept[-1] == found[-1] else [*kept, found[-1]])


def curve_of(result: Result) -> Curve | None:
    entries = result.details.get("curve")
    panels = {field: points_of(entries, field) for field, _ in PANELS}
    panels = {field: points for field, points in panels.items() if len(points) > 1}
    return Curve(result.name, panels) if panels else None


def collect(record: RunRecord) -> Facts | None:
    rows = best_first(record, record.primary_metric)
    curves = [curve for row in rows if (curve := curve_of(row.result))]
    return Facts(tuple(curves[:MOST])) if curves else None


def panel(facts: Facts, field: str) -> tuple[Markup, Markup, Markup]:
    """Return (value labels at the left, the curves, step labels below)."""
    series = [(i, c.panels[field]) for i, c in enumerate(facts.curves) if field in c.panels]
    up = draw.axis([y for _, points in series for _, y in points], ticks=4)
    steps = [x for _, points in series for x, _ in points]
    along = draw.axis([min(steps), max(steps)], ticks=3)
    span = up.high - up.low

    def level(value: float) -> float:
        return 4 + 92 * (up.high - value) / span

    lines = [draw.line("0", level(t), "100", level(t), "grid") for t in up.ticks]
    lines += [
        draw.polyline([(along.at(x), level(y)) for x, y in points], f"curve c{i}")
        for i, points in series
    ]
    step = up.ticks[1] - up.ticks[0]
    labels = [
        draw.tag(
            "text",
            words.number(t, step * 10),
            x="100%",
            y=f"{level(t)}%",
            dy=4,
            text_anchor="end",
            class_="tick",
        )
        for t in up.ticks
    ]
    plot = draw.tag(
        "svg",
        Markup("").join(lines),
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        class_="plot",
        aria_hidden="true",
        focusable="false",
    )
    below = draw.canvas(draw.tick_labels(along, [f"{t:,.0f}" for t in along.ticks], 14), 20, "x")
    return draw.canvas(labels, 180, "y"), plot, below


TEMPLATE = """
<p class="legend">{% for curve in facts.curves %}
<span><svg width="28" height="10" aria-hidden="true">
<line class="curve c{{ loop.index0 }}" x1="1" y1="5" x2="27" y2="5"/></svg>{{ curve.name }}</span>
{% endfor %}</p>
<div class="panels">
{% for title, summary, left, plot, below in panels %}
<figure class="panel"><figcaption>{{ title }}, by step</figcaption>
<div class="axes">{{ left }}{{ plot }}<span></span>{{ below }}</div>
<p class="away">{{ summary }}</p></figure>
{% endfor %}
</div>
"""


def spoken(facts: Facts, field: str) -> str:
    """Say the curves in words, for those who cannot see them."""
    return " ".join(
        f"{c.name}: from {words.number(c.panels[field][0][1])} to "
        f"{words.number(c.panels[field][-1][1])}."
        for c in facts.curves
        if field in c.panels
    )


def render(facts: Facts) -> str:
    panels = [
        (title, spoken(facts, field), *panel(facts, field))
        for field, title in PANELS
        if any(field in curve.panels for curve in facts.curves)
    ]
    return fill(TEMPLATE, facts=facts, panels=panels)


SECTION = Section("curve", "How training went", collect, render)
