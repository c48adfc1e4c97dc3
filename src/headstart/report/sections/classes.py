"""Where the chosen result is strong and weak: precision, recall and F1 of each class."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.records import Interval, RunRecord
from headstart.report import words
from headstart.report.ranked import chosen_result
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table

SHOWN = 100  # classes; a page of a thousand rows helps nobody
ORDER = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class Facts:
    """Classes of the chosen result, the weakest F1 first."""

    result: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, float]], ...]
    total: int
    intervals: dict[str, dict[str, Interval]]


def collect(record: RunRecord) -> Facts | None:
    best = chosen_result(record)
    if best is None or not best.per_class:
        return None
    names = dict.fromkeys(name for scores in best.per_class.values() for name in scores)
    columns = [name for name in ORDER if name in names]
    columns += [name for name in names if name not in ORDER and name != "support"]
    columns += [name for name in names if name == "support"]
    weakest = sorted(best.per_class.items(), key=lambda item: item[1].get("f1", 0.0))
    shown = tuple(weakest[:SHOWN])
    return Facts(best.name, tuple(columns), shown, len(weakest), best.class_intervals)


def cell(column: str, value: float | None, measured: Interval | None = None) -> Cell:
    if value is None:
        return Cell(words.ABSENT)
    if column == "support":
        return Cell(f"{value:,.0f}", value=value)
    between = words.range_text(column, measured) if measured else ""
    return Cell(words.value_text(column, value), between, value)


def render(facts: Facts) -> str:
    columns = [Column("Class", numeric=False, first="ascending")]
    for name in facts.columns:
        title = "Test examples" if name == "support" else words.metric_title(name)
        columns.append(Column(title, first="descending" if name == "support" else "ascending"))
    rows = []
    for label, scores in facts.rows:
        measured = facts.intervals.get(label, {})
        cells = [cell(c, scores.get(c), measured.get(c)) for c in facts.columns]
        rows.append(Row((Cell(label, value=label), *cells)))
    intro = fill(
        "<p>How <b>{{ facts.result }}</b> does on each class of the test part, weakest first. "
        "Classes with few test examples are measured roughly{% if facts.intervals %}: below each "
        "value is its 95 % interval{% endif %}."
        "{% if facts.total > facts.rows|length %} Shown are the {{ facts.rows|length }} weakest of "
        "{{ facts.total }} classes.{% endif %}</p>",
        facts=facts,
    )
    return intro + render_table(f"Scores of each class, {facts.result}", columns, rows)


SECTION = Section("classes", "Class by class", collect, render)
