"""What fewer labels would have given, what more would give, and how many transfer saves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval, LabelCurve, RunRecord
from headstart.report import plot, words
from headstart.report.draw import legend, series, stroke
from headstart.report.section import Section, fill
from headstart.report.table import (
    MEASURED,
    Cell,
    Column,
    Row,
    as_table,
    measured_cells,
    render_table,
)


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
    seen = [v for line in facts.lines for _, v in line.draws]
    seen += [v for line in facts.lines for _, v, *_ in line.law]
    up, up_texts = plot.share_axis(seen) if share else plot.number_axis(seen, ceiling=1.0)
    plane = plot.Plane(along, up, along_texts, up_texts)
    layers: list[Markup] = []
    for at, line in enumerate(facts.lines):
        spread = [(math.log10(x), low, high) for x, _, low, high in line.law
                  if low is not None and high is not None]  # fmt: skip
        layers.append(series(str(at), [plot.band(plane, spread, f"b{at}")]))
    for at, line in enumerate(facts.lines):
        law = [(math.log10(x), v) for x, v, *_ in line.law]
        drawing: list[Markup] = [plot.path(plane, law, f"curve c{at}")]
        drawing += plot.stops(plane, law, f"d{at}", [expected(facts, line, n) for n in line.law])
        points = [(math.log10(x), v) for x, v in line.draws]
        titles = [f"{line.result}: {x:,} labels, {words.value_text(facts.metric, v)}"
                  for x, v in line.draws]  # fmt: skip
        drawing += plot.dots(plane, points, f"many d{at}", titles)
        layers.append(series(str(at), drawing))
    most = math.log10(max(line.most for line in facts.lines))
    layers.append(plot.path(plane, [(most, up.low), (most, up.high)], "ideal"))
    return plot.panel(
        f"{words.metric_title(facts.metric)}, by number of labels", plane, layers, height=300,
        along="labels (each step the same factor); dashed: all that there are",
        spoken=" ".join(facts.words), values=values(facts),
    )  # fmt: skip


def expected(facts: Facts, line: Line, at: tuple[float, float, float | None, float | None]) -> str:
    """Say what the law expects at one number of labels."""
    n, value, low, high = at
    found = words.interval_text(facts.metric, Interval(value=value, low=low, high=high))
    return f"{line.result}: {n:,.0f} labels, expected {found}"


def values(facts: Facts) -> Markup:
    """Return every draw, and what the law expects, as a table."""
    columns = [Column("Result", numeric=False, first="ascending"),
               Column("Kind", numeric=False, first="ascending"),
               Column("Labels", first="ascending"), *MEASURED]  # fmt: skip
    rows = []
    for line in facts.lines:
        found = [("draw", n, Interval(value=v)) for n, v in line.draws]
        found += [("expected", round(n), Interval(value=v, low=low, high=high))
                  for n, v, low, high in line.law]  # fmt: skip
        rows += [
            Row((Cell(line.result, value=line.result), Cell(kind, value=kind),
                 Cell(f"{n:,}", value=n), *measured_cells(facts.metric, v)))
            for kind, n, v in found
        ]  # fmt: skip
    return as_table("Draws, and what the law expects", columns, rows)


TEMPLATE = """
<ul class="lede">{% for sentence in facts.words %}<li>{{ sentence }}</li>{% endfor %}</ul>
{{ legend }}{{ drawing }}
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
    marks = [(str(at), one.result, stroke(f"c{at}")) for at, one in enumerate(facts.lines)]
    return fill(TEMPLATE, facts=facts, drawing=drawn(facts), table=table, legend=legend(marks))


SECTION = Section("labels", "Fewer labels, more labels", collect, render)
