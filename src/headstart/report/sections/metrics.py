"""Every metric of every result, in a table that can be sorted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headstart.records import RunRecord
from headstart.report import words
from headstart.report.ranked import Ranked, best_first, metric_names
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table


@dataclass(frozen=True, slots=True)
class Facts:
    """Results, best first, and the names of all metrics, the primary one first."""

    metrics: tuple[str, ...]
    rows: tuple[Ranked, ...]
    opened: bool


def collect(record: RunRecord) -> Facts | None:
    names = metric_names(record)
    if not names:
        return None
    return Facts(names, best_first(record, record.primary_metric), words.test_opened(record))


def best_values(facts: Facts) -> dict[str, float]:
    """Return the best value of each metric over all results."""
    best = {}
    for metric in facts.metrics:
        found = [row.metrics[metric].value for row in facts.rows if metric in row.metrics]
        finite = [value for value in found if math.isfinite(value)]
        if finite:
            best[metric] = min(finite) if words.lower_is_better(metric) else max(finite)
    return best


def cell(facts: Facts, row: Ranked, metric: str, best: dict[str, float]) -> Cell:
    interval = row.metrics.get(metric)
    if interval is None or not math.isfinite(interval.value):
        return Cell(words.ABSENT)
    return Cell(
        words.measured_text(metric, interval),
        words.range_text(metric, interval),
        interval.value,
        strong=interval.value == best.get(metric),
    )


def render(facts: Facts) -> str:
    best = best_values(facts)
    columns = [Column("Result", numeric=False, first="ascending")]
    columns += [
        Column(
            words.metric_title(metric),
            first="ascending" if words.lower_is_better(metric) else "descending",
        )
        for metric in facts.metrics
    ]
    rows = [
        Row(
            (
                Cell(row.result.name, row.result.role, row.result.name),
                *(cell(facts, row, metric, best) for metric in facts.metrics),
            ),
            tags=("chosen",) if row.chosen else (),
            strong=row.chosen,
        )
        for row in facts.rows
    ]
    lower = [words.metric_title(m) for m in facts.metrics if words.lower_is_better(m)]
    intro = fill(
        "<p>{% if opened %}Measured on the sealed test part; 95 % intervals below each value."
        "{% else %}Measured on validation data; the test part is still sealed.{% endif %} The best "
        "of each column is bold.{% if lower %} Lower is better for {{ lower|join(', ') }}."
        '{% endif %} <span class="scripted">Press a heading to sort.</span></p>',
        opened=facts.opened,
        lower=lower,
    )
    return intro + render_table("All metrics of all results", columns, rows)


SECTION = Section("metrics", "All metrics", collect, render)
