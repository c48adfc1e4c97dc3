"""Every candidate and baseline on the primary metric, with intervals, best first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval, RunRecord
from headstart.report import draw, words
from headstart.report.forest import Bar, forest, row, ticks
from headstart.report.ranked import best_first
from headstart.report.section import Section, fill
from headstart.report.table import MEASURED, Cell, Column, Row, as_table, measured_cells

FLOORS = {"r2": -0.5}  # R² has no lower bound: a wild model must not squeeze all others together


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the chart."""

    name: str
    role: str
    score: Interval
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Rows, best first; `reference` is the score of the baseline that the verdict is against."""

    metric: str
    opened: bool
    entries: tuple[Entry, ...]
    reference: float | None
    against: str


def collect(record: RunRecord) -> Facts | None:
    metric = record.primary_metric
    entries = tuple(
        Entry(r.result.name, r.result.role, r.metrics[metric], r.chosen)
        for r in best_first(record, metric)
        if metric in r.metrics and math.isfinite(r.metrics[metric].value)
    )
    if not entries:
        return None
    against = record.verdict.against if record.verdict else ""
    reference = next((e.score.value for e in entries if e.name == against), None)
    return Facts(metric, words.test_opened(record), entries, reference, against)


def axis_of(metric: str, scores: Sequence[Interval]) -> draw.Axis:
    """Return the common scale of all rows."""
    edges = [e for score in scores for e in (score.value, score.low, score.high) if e is not None]
    share = words.is_share(metric)
    best = max(score.value for score in scores)
    floor = 0.0 if share else min(best, FLOORS.get(metric, -math.inf))
    return draw.axis(edges, floor=floor, ceiling=1.0 if share else math.inf)


def bar(facts: Facts, entry: Entry, scale: draw.Axis) -> Bar:
    about = f"{entry.name}: {words.interval_text(facts.metric, entry.score)}"
    return Bar(
        entry.name, words.measured_text(facts.metric, entry.score),
        words.range_text(facts.metric, entry.score),
        row(scale, entry.score, entry.role, about, at=facts.reference, line="reference"),
        spoken=f", {entry.role}", tags=(("chosen", ""),) if entry.chosen else (), series=entry.role,
        strong=entry.chosen,
    )  # fmt: skip


TEMPLATE = """
<p>{{ facts.metric|metric_title }} on
{{ "the sealed test part, which was opened once" if facts.opened else "validation data" }}, best
first{{ " (lower is better)" if lower }}.
{% if intervals %}A dot is the value, its bar the 95 % interval.{% else %}These are single
measurements without intervals.{% endif %}

{% if facts.reference is not none %} The dashed line marks the best baseline,
<b>{{ facts.against }}</b>.{% endif %}</p>
{{ legend }}{{ chart }}
{{ table }}
"""


def values(facts: Facts) -> Markup:
    """Return the drawing's values as a table."""
    columns = [Column("Result", numeric=False, first="ascending"),
               Column("Role", numeric=False, first="ascending"), *MEASURED]  # fmt: skip
    rows = [
        Row((Cell(e.name, value=e.name), Cell(e.role, value=e.role),
             *measured_cells(facts.metric, e.score)), strong=e.chosen)
        for e in facts.entries
    ]  # fmt: skip
    return as_table(f"{words.metric_title(facts.metric)} of all results", columns, rows)


def render(facts: Facts) -> str:
    scale = axis_of(facts.metric, [entry.score for entry in facts.entries])
    bars = [bar(facts, entry, scale) for entry in facts.entries]
    return fill(
        TEMPLATE,
        facts=facts,
        chart=forest(bars, scale, ticks(facts.metric, scale)),
        lower=words.lower_is_better(facts.metric),
        intervals=any(bar.between for bar in bars),
        legend=draw.roles(),
        table=values(facts),
    )


SECTION = Section("comparison", "How much better, and how sure", collect, render)
