"""The best candidate against every baseline, paired on identical test examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from headstart.records import Comparison, CrossValidation, Interval, RunRecord
from headstart.report import draw, words
from headstart.report.forest import Bar, forest, row, signed_ticks
from headstart.report.section import Section, fill
from headstart.report.table import (
    DIFFERENCE,
    Cell,
    Column,
    Row,
    as_table,
    difference_cells,
    render_table,
)

DWARFS = 4.0  # times the next largest difference: beyond, the drawing would hide the others
ANSWERS = {"helps": "helps", "no clear difference": "no clear difference",
           "hurts": "negative transfer"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """Comparisons in the record's order; on held-out examples those that the choice rests on."""

    candidate: str
    metric: str
    comparisons: tuple[Comparison, ...]
    held_out: tuple[Comparison, ...]
    chosen: str
    because: str


def collect(record: RunRecord) -> Facts | None:
    if not record.comparisons:
        return None
    first = record.comparisons[0]
    return Facts(
        first.candidate, first.metric, tuple(record.comparisons), tuple(record.held_out),
        record.chosen or "", record.chosen_because,
    )  # fmt: skip


def scale_of(differences: list[Interval]) -> draw.Axis:
    """Return a common scale of differences that shows zero.

    One that dwarfs all others, as that to a constant answer does, is left to an arrow at the edge.
    """
    reach = [
        max(abs(v) for v in (d.value, d.low, d.high) if v is not None) for d in differences
    ]  # fmt: skip
    near = sorted(reach)[: max(1, len(reach) - 1)]
    kept = [d for d, far in zip(differences, reach, strict=True) if far <= DWARFS * near[-1]]
    edges = [v for d in kept for v in (d.value, d.low, d.high) if v is not None]
    return draw.axis([0.0, *edges])


def said(found: Comparison | CrossValidation) -> str:
    size, between = words.difference_text(found.metric, found.difference)
    return f"against {found.against}: {size}" + (f" ({between})" if between else "")


def bar(scale: draw.Axis, found: Comparison | CrossValidation, name: str, **more: Any) -> Bar:
    """Return the row of one difference, around zero."""
    size, between = words.difference_text(found.metric, found.difference)
    tone = TONES[found.answer]
    picture = row(scale, found.difference, f"main {tone}", said(found), at=0.0, **more)
    return Bar(name, size, between, picture, tags=((ANSWERS[found.answer], tone),))


TEMPLATE = """
<p><b>{{ facts.candidate }}</b> minus each baseline, {{ facts.metric|metric_title }}, on the same
test examples. A dot right of zero speaks for transfer; its bar is the 95 % interval. Whether a
difference is claimed goes by the p-value corrected for
{{ facts.comparisons|length|counted("comparison") }}.</p>
{{ chart }}
{{ values }}
<h3>In words</h3>
<ul>{% for c in facts.comparisons %}<li>{{ c.words }}</li>{% endfor %}</ul>
{% if facts.because %}
<h3>What is handed over, and why</h3>
<p><b>{{ facts.chosen }}</b>: {{ facts.because }} The test part had no say in that.</p>
{% endif %}
{{ table }}
"""
TONES = {"helps": "good", "no clear difference": "even", "hurts": "bad"}


def shown_p(p: float | None) -> str:
    """Write a p-value.

    >>> shown_p(0.0004), shown_p(0.0312), shown_p(None)
    ('< 0.001', '0.031', '–')
    """
    if p is None:
        return words.ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def table_of(facts: Facts) -> Markup:
    counted = any(c.won is not None for c in facts.comparisons)
    columns = [Column("Against", numeric=False, first="ascending"), Column("p", first="ascending"),
               Column("p, corrected", first="ascending")]  # fmt: skip
    if counted:
        columns += [Column("Only candidate right"), Column("Only baseline right")]
    columns += [Column("Time, candidate"), Column("Time, baseline")]
    rows = []
    for c in facts.comparisons:
        cells = [Cell(c.against, c.test, c.against), Cell(shown_p(c.p), value=c.p),
                 Cell(shown_p(c.p_holm), value=c.p_holm)]  # fmt: skip
        if counted:
            cells += [
                Cell(words.ABSENT if v is None else f"{v:,}", value=v) for v in (c.won, c.lost)
            ]
        for name in (c.candidate, c.against):
            took = c.seconds.get(name)
            text = words.ABSENT if took is None else words.duration(took)
            cells.append(Cell(text, value=took))
        rows.append(Row(tuple(cells)))
    return render_table("Tests of each comparison, and what each side cost", columns, rows)


def values(facts: Facts) -> Markup:
    """Return the drawing's values as a table."""
    columns = [Column("Against", numeric=False, first="ascending"),
               Column("Answer", numeric=False, first="ascending"), *DIFFERENCE]  # fmt: skip
    rows = [
        Row((Cell(c.against, value=c.against), Cell(ANSWERS[c.answer], value=ANSWERS[c.answer]),
             *difference_cells(c.metric, c.difference)))
        for c in facts.comparisons
    ]  # fmt: skip
    return as_table(f"Differences in {words.metric_title(facts.metric)}", columns, rows)


def render(facts: Facts) -> str:
    scale = scale_of([c.difference for c in facts.comparisons])
    bars = [bar(scale, c, f"against {c.against}") for c in facts.comparisons]
    chart = forest(bars, scale, signed_ticks(facts.metric, scale))
    return fill(TEMPLATE, facts=facts, chart=chart, table=table_of(facts), values=values(facts))


SECTION = Section("paired", "Against each baseline", collect, render)
