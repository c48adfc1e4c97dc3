"""What each result costs, and what it buys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval, RunRecord
from headstart.report import plot, words
from headstart.report.draw import roles, series
from headstart.report.ranked import best_first
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table

LEAST = 0.001  # seconds: nothing is drawn as quicker


@dataclass(frozen=True, slots=True)
class Entry:
    """One result: seconds to make it, seconds a thousand predictions, parameters, the metric."""

    name: str
    role: str
    seconds: float
    predict: float | None
    parameters: int | None
    score: Interval
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Results, best first."""

    metric: str
    entries: tuple[Entry, ...]


def collect(record: RunRecord) -> Facts | None:
    metric, examples = record.primary_metric, record.data.counts.get("test", 0)
    made = []
    for row in best_first(record, metric):
        score, times = row.metrics.get(metric), row.result.seconds
        if score is None or not math.isfinite(score.value) or not times:
            continue
        asked = times.get("predict")
        made.append(
            Entry(
                row.result.name, row.result.role,
                words.making(times),
                1000 * asked / examples if asked is not None and examples else None,
                row.result.parameters.get("total"), score, row.chosen,
            )
        )  # fmt: skip
    return Facts(metric, tuple(made)) if len(made) > 1 else None


def drawn(facts: Facts) -> Markup:
    seconds = [max(LEAST, entry.seconds) for entry in facts.entries]
    along, along_texts = plot.log_axis(min(seconds), max(seconds))
    values = [entry.score.value for entry in facts.entries]
    if words.is_share(facts.metric):
        up, up_texts = plot.share_axis(values)
    else:
        up, up_texts = plot.number_axis([max(v, -1.0) for v in values])
    plane = plot.Plane(along, up, along_texts, up_texts)
    layers: list[Markup] = []
    for entry, took in zip(facts.entries, seconds, strict=True):
        about = (
            f"{entry.name}: {words.interval_text(facts.metric, entry.score)} "
            f"for {words.duration(entry.seconds)}"
        )
        point = (math.log10(took), entry.score.value)
        layers.append(series(entry.role, plot.dots(plane, [point], f"large {entry.role}", [about])))
    return plot.panel(
        f"{words.metric_title(facts.metric)}, by time to make it", plane, layers,
        along="seconds (each step the same factor)", height=240,
        spoken="The table below has the same values.",
    )  # fmt: skip


TEMPLATE = """
{{ legend }}{{ drawing }}
{{ table }}
<p><small>Time is that of this machine. Features that were in the store cost next to nothing, for
making a result and for predicting with it alike: where nobody has seen the data it takes
longer.</small></p>
"""


def render(facts: Facts) -> str:
    columns = [
        Column("Result", numeric=False, first="ascending"),
        Column(words.metric_title(facts.metric)),
        Column("Time to make", first="ascending"),
        Column("Time for 1,000 predictions", first="ascending"),
        Column("Parameters", first="ascending"),
    ]
    rows = []
    for e in facts.entries:
        asked = words.ABSENT if e.predict is None else words.duration(e.predict)
        size = words.ABSENT if e.parameters is None else f"{e.parameters:,}"
        rows.append(Row(
            (
                Cell(e.name, e.role, e.name),
                Cell(words.measured_text(facts.metric, e.score),
                     words.range_text(facts.metric, e.score), e.score.value),
                Cell(words.duration(e.seconds), value=e.seconds),
                Cell(asked, value=e.predict), Cell(size, value=e.parameters),
            ),
            tags=("chosen",) if e.chosen else (), strong=e.chosen,
        ))  # fmt: skip
    table = render_table("What each result costs", columns, rows)
    return fill(TEMPLATE, drawing=drawn(facts), table=table, legend=roles())


SECTION = Section("cost", "What it costs", collect, render)
