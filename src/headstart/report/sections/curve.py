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
from headstart.report import draw, plot, words
from headstart.report.ranked import best_first
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, as_table

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
    return tuple(plot.thinned(found, POINTS))


def curve_of(result: Result) -> Curve | None:
    entries = result.details.get("curve")
    panels = {field: points_of(entries, field) for field, _ in PANELS}
    panels = {field: points for field, points in panels.items() if len(points) > 1}
    return Curve(result.name, panels) if panels else None


def collect(record: RunRecord) -> Facts | None:
    rows = best_first(record, record.primary_metric)
    curves = [curve for row in rows if (curve := curve_of(row.result))]
    return Facts(tuple(curves[:MOST])) if curves else None


def panel(facts: Facts, field: str, title: str) -> Markup:
    """Return one figure with a line a result."""
    lines = [(i, c.name, c.panels[field]) for i, c in enumerate(facts.curves) if field in c.panels]
    steps = [x for _, _, points in lines for x, _ in points]
    along = draw.axis([min(steps), max(steps)], ticks=3)
    up, up_texts = plot.number_axis([y for _, _, points in lines for _, y in points])
    plane = plot.Plane(along, up, tuple(f"{t:,.0f}" for t in along.ticks), up_texts)
    layers = []
    for i, name, points in lines:
        titles = [f"{name}, step {x:,.0f}: {words.number(y)}" for x, y in points]
        layers.append(draw.series(str(i), [
            plot.path(plane, points, f"curve c{i}"), *plot.stops(plane, points, f"d{i}", titles),
        ]))  # fmt: skip
    return plot.panel(
        f"{title}, by step", plane, layers, height=180, spoken=spoken(facts, field),
        values=values(title, [(name, points) for _, name, points in lines]),
    )  # fmt: skip


def values(title: str, lines: list[tuple[str, Points]]) -> Markup:
    """Return the points that can be pointed at as a table."""
    columns = [Column("Result", numeric=False, first="ascending"),
               Column("Step", first="ascending"), Column(title, first="ascending")]  # fmt: skip
    rows = [
        Row((Cell(name, value=name), Cell(f"{x:,.0f}", value=x), Cell(words.number(y), value=y)))
        for name, points in lines
        for x, y in plot.thinned(points, plot.STOPS)
    ]
    return as_table(f"{title}, by step", columns, rows)


def spoken(facts: Facts, field: str) -> str:
    """Say the curves in words, for those who cannot see them."""
    return " ".join(
        f"{c.name}: from {words.number(c.panels[field][0][1])} to "
        f"{words.number(c.panels[field][-1][1])}."
        for c in facts.curves
        if field in c.panels
    )


def render(facts: Facts) -> str:
    marks = [(str(i), curve.name, draw.stroke(f"c{i}")) for i, curve in enumerate(facts.curves)]
    panels = [
        panel(facts, field, title)
        for field, title in PANELS
        if any(field in curve.panels for curve in facts.curves)
    ]
    return fill(
        '{{ legend }}<div class="panels">{% for panel in panels %}{{ panel }}{% endfor %}</div>',
        legend=draw.legend(marks), panels=panels,
    )  # fmt: skip


SECTION = Section("curve", "How training went", collect, render)
