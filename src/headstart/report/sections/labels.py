"""What fewer labels would have given, what more would give, and how many transfer saves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import LabelCurve, RunRecord
from headstart.report import plot, words
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table


@dataclass(frozen=True, slots=True)
class Line:
    """One result: draws (labels, metric), and the law (labels, metric, low, high)."""

    result: str
    most: int
    draws: tuple[tuple[int, float], ...]
    law: tuple[tuple[float, float, float | None, float | None], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Curves of the metric (1 minus the error); the first is transfer's."""

    metric: str
    lines: tuple[Line, ...]
    words: tuple[str, ...]


def collect(record: RunRecord) -> Facts | None:
    if not record.label_curves:
        return None
    told = tuple(sentence for curve in record.label_curves for sentence in curve.words)
    return Facts(record.primary_metric, tuple(map(line_of, record.label_curves)), told)


def line_of(curve: LabelCurve) -> Line:
    draws = tuple(
        (n, 1 - error) for n, at in zip(curve.counts, curve.errors, strict=True) for error in at
    )
    law = tuple(
        (
            float(n),
            1 - found.value,
            None if found.high is None else 1 - found.high,
            None if found.low is None else 1 - found.low,
        )
        for n, found in sorted(curve.predicted.items(), key=lambda item: float(item[0]))
    )
    return Line(curve.result, max(curve.counts), draws, law)


def drawn(facts: Facts) -> Markup:
    share = words.is_share(facts.metric)
    n = [x for line in facts.lines for x, *_ in line.law]
    along, along_texts = plot.log_axis(min(n), max(n))
    values = [v for line in facts.lines for _, v in line.draws]
    values += [v for line in facts.lines for _, v, *_ in line.law]
    up, up_texts = plot.share_axis(values) if share else plot.number_axis(values, ceiling=1.0)
    plane = plot.Plane(along, up, along_texts, up_texts)
    layers: list[Markup] = []
    for at, line in enumerate(facts.lines):
        spread = [(math.log10(x), low, high) for x, _, low, high in line.law
                  if low is not None and high is not None]  # fmt: skip
        layers.append(plot.band(plane, spread, f"b{at}"))
    for at, line in enumerate(facts.lines):
        layers.append(
            plot.path(plane, [(math.log10(x), v) for x, v, *_ in line.law], f"curve c{at}")
        )
        points = [(math.log10(x), v) for x, v in line.draws]
        titles = [f"{line.result}: {x:,} labels, {words.value_text(facts.metric, v)}"
                  for x, v in line.draws]  # fmt: skip
        layers += plot.dots(plane, points, f"many d{at}", titles)
    most = math.log10(max(line.most for line in facts.lines))
    layers.append(plot.path(plane, [(most, up.low), (most, up.high)], "ideal"))
    return plot.panel(
        f"{words.metric_title(facts.metric)}, by number of labels", plane, layers, height=300,
        along="labels (each step the same factor); dashed: all that there are",
        spoken=" ".join(facts.words),
    )  # fmt: skip


TEMPLATE = """
<ul class="lede">{% for sentence in facts.words %}<li>{{ sentence }}</li>{% endfor %}</ul>
<p class="legend">{% for line in facts.lines %}
<span><svg width="28" height="10" aria-hidden="true">
<line class="curve c{{ loop.index0 }}" x1="1" y1="5" x2="27" y2="5"/></svg>{{ line.result }}</span>
{% endfor %}</p>
{{ drawing }}
<p>Dots are single draws of labels, measured on the test part; a line is a power law with a floor
fitted to them; its band holds 95 % of what one new draw would give. Beyond four times the labels
that were seen nothing is said.</p>
{{ table }}
"""


def render(facts: Facts) -> str:
    counts = sorted({n for line in facts.lines for n, _ in line.draws})
    columns = [Column("Labels", first="ascending")]
    columns += [Column(line.result) for line in facts.lines]
    rows = []
    for n in counts:
        cells = [Cell(f"{n:,}", value=n)]
        for line in facts.lines:
            values = [v for x, v in line.draws if x == n]
            mean = sum(values) / len(values) if values else None
            note = ""
            if len(values) > 1:
                low, high = (words.value_text(facts.metric, v) for v in (min(values), max(values)))
                note = f"{low} to {high}"
            cells.append(Cell(words.value_text(facts.metric, mean), note, mean))
        rows.append(Row(tuple(cells)))
    table = render_table("Mean and range over draws, by number of labels", columns, rows)
    return fill(TEMPLATE, facts=facts, drawing=drawn(facts), table=table)


SECTION = Section("labels", "Fewer labels, more labels", collect, render)
