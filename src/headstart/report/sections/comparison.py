"""Every candidate and baseline on the primary metric, with intervals, best first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval, RunRecord
from headstart.report import draw, words
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
        Entry(row.result.name, row.result.role, row.metrics[metric], row.chosen)
        for row in best_first(record, metric)
        if metric in row.metrics and math.isfinite(row.metrics[metric].value)
    )
    if not entries:
        return None
    against = record.verdict.against if record.verdict else ""
    reference = next((e.score.value for e in entries if e.name == against), None)
    return Facts(metric, words.test_opened(record), entries, reference, against)


def scale_of(facts: Facts) -> draw.Axis:
    """Return the common scale of all rows."""
    edges = [
        edge
        for entry in facts.entries
        for edge in (entry.score.value, entry.score.low, entry.score.high)
        if edge is not None
    ]
    share = words.is_share(facts.metric)
    best = max(entry.score.value for entry in facts.entries)
    floor = 0.0 if share else min(best, FLOORS.get(facts.metric, -math.inf))
    return draw.axis(edges, floor=floor, ceiling=1.0 if share else math.inf)


def row_picture(facts: Facts, entry: Entry, scale: draw.Axis) -> Markup:
    parts = draw.grid(scale, "100%")
    about = f"{entry.name}: {words.interval_text(facts.metric, entry.score)}"
    if facts.reference is not None:
        place = f"{scale.at(facts.reference)}%"
        parts.append(draw.line(place, 0, place, "100%", "reference"))
    mark = Markup("").join(draw.interval_mark(scale, entry.score, 0, entry.role, about))
    parts.append(draw.tag("svg", mark, y="50%", overflow="visible"))
    return draw.canvas(parts, "100%", "forest")


TEMPLATE = """
<p>{{ facts.metric|metric_title }} on
{{ "the sealed test part, which was opened once" if facts.opened else "validation data" }}, best
first{{ " (lower is better)" if lower }}.
{% if intervals %}A dot is the value, its bar the 95 % interval.{% else %}These are single
measurements without intervals.{% endif %}

{% if facts.reference is not none %} The dashed line marks the best baseline,
<b>{{ facts.against }}</b>.{% endif %}</p>
{{ legend }}<ol class="chart">
{% for entry, value, between, picture in rows %}
<li data-series="{{ entry.role }}"{{ ' class="chosen"'|safe if entry.chosen }}>
<span class="name">{{ entry.name }} {% if entry.chosen %}<span class="tag">chosen</span>{% endif %}
<span class="away">{{ entry.role }}</span></span>
<span class="drawing">{{ picture }}</span>
<span class="value"><b>{{ value }}</b>{% if between %}<small>{{ between }}</small>{% endif %}</span>
</li>
{% endfor %}
</ol>
<div class="chart axis" aria-hidden="true"><span class="name"></span>
<span class="drawing">{{ ticks }}</span><span class="value"></span></div>
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
    scale, metric = scale_of(facts), facts.metric
    rows = [
        (
            entry,
            words.measured_text(metric, entry.score),
            words.range_text(metric, entry.score),
            row_picture(facts, entry, scale),
        )
        for entry in facts.entries
    ]
    share = words.is_share(metric)
    step = scale.ticks[1] - scale.ticks[0]
    texts = [f"{100 * t:g}" if share else words.number(t, step * 10) for t in scale.ticks]
    texts[-1] += f"{words.SPACE}%" if share else ""
    return fill(
        TEMPLATE,
        facts=facts,
        rows=rows,
        lower=words.lower_is_better(metric),
        intervals=any(between for _, _, between, _ in rows),
        legend=draw.roles(),
        table=values(facts),
        ticks=draw.canvas(draw.tick_labels(scale, texts, 14), 20, "forest"),
    )


SECTION = Section("comparison", "How much better, and how sure", collect, render)
