"""What the chosen result takes for what. Reads the record's extra field `confusion`:
{result name: rows of counts}, rows true and columns predicted, in the order of `labels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.records import RunRecord
from headstart.report import words
from headstart.report.draw import tag
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, as_table

LARGEST = 60  # classes in the drawing; above, only the list of mistakes
NUMBERED = 15  # classes up to which the counts are written into the cells
LISTED = 6
LONGEST = 60  # letters of a label in what a cell says: there are thousands of cells


@dataclass(frozen=True, slots=True)
class Mistake:
    true: str
    taken_for: str
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts (true class by predicted class) and the most frequent mistakes."""

    result: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...]


def collect(record: RunRecord) -> Facts | None:
    tables = getattr(record, "confusion", None)
    table = tables.get(record.chosen) if isinstance(tables, dict) else None
    labels = tuple(record.labels)
    if table is None or not labels or not square(table, len(labels)):
        return None
    counts = tuple(tuple(int(count) for count in row) for row in table)
    mistakes = [
        Mistake(labels[i], labels[j], count, sum(row))
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    mistakes.sort(key=lambda m: (-m.count, m.of))
    return Facts(record.chosen or "", labels, counts, tuple(mistakes[:LISTED]))


def square(table: Any, size: int) -> bool:
    """Say whether a table is size by size numbers (that of a multi-label task is not)."""
    try:
        return np.asarray(table, dtype=float).shape == (size, size)
    except (TypeError, ValueError):
        return False


def short(label: str, letters: int = 16) -> str:
    """Cut a long label in the middle: the end often tells classes apart."""
    half = (letters - 1) // 2
    return label if len(label) <= letters else f"{label[:half]}…{label[-half:]}"


def heading(label: str, place: float, left: float, top: float, size: float) -> Markup:
    """Return the two texts of one class: at its row, and slanted above its column."""
    full = tag("title", label)
    row = tag("text", full + short(label), x=left - 8, y=top + place + 4, text_anchor="end")
    x, y = left + place, top - 8
    column = tag("text", full + short(label), x=x, y=y, transform=f"rotate(-45 {x} {y})")
    return row + column


def drawn(facts: Facts) -> Markup:
    """Return the matrix; a cell is as dark as its share of the true class."""
    n = len(facts.labels)
    size = 34.0 if n <= NUMBERED else 16.0
    longest = max(len(short(label)) for label in facts.labels)
    left, top = 20 + 6.6 * longest, 20 + 5.2 * longest
    width, height = left + n * size + 5.2 * longest, top + n * size + 4
    parts = [tag("rect", x=left, y=top, width=n * size, height=n * size, class_="ground")]
    for i, row in enumerate(facts.counts):
        parts.append(heading(facts.labels[i], (i + 0.5) * size, left, top, size))
        total = sum(row) or 1
        for j, count in enumerate(row):
            if count:
                parts += cell(facts, i, j, count, count / total, (left, top, size))
    return tag(
        "svg",
        Markup("").join(parts),
        class_="confusion",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=f"Confusion matrix of {n} classes; the list names the most frequent mistakes.",
    )


def cell(
    facts: Facts, i: int, j: int, count: int, share: float, place: tuple[float, float, float]
) -> list[Markup]:
    left, top, size = place
    x, y = left + j * size, top + i * size
    gap = 2 if size > 20 else 1
    true, answer = (short(facts.labels[at], LONGEST) for at in (i, j))
    found = f"{count} of {sum(facts.counts[i])}, {words.per_cent(share)}"
    about = f"{true} taken for {answer}: {found}" if i != j else f"{true} read right: {found}"
    kind = "right" if i == j else "wrong"
    marks = [
        tag(
            "rect",
            tag("title", about),
            x=round(x + gap / 2, 1),
            y=round(y + gap / 2, 1),
            width=size - gap,
            height=size - gap,
            rx=2,
            class_=kind,
            fill_opacity=round(0.12 + 0.88 * share, 2),
        )
    ]
    if size > 20:
        tone = "deep" if share > 0.75 else "mid" if share > 0.4 else "pale"
        marks.append(
            tag("text", str(count), x=x + size / 2, y=y + size / 2 + 4, class_=f"count {tone}")
        )
    return marks


def values(facts: Facts) -> Markup:
    """Return the counts as a table; a column an answer."""
    columns = [Column("True class", numeric=False, first="ascending")]
    columns += [Column(label) for label in facts.labels]
    rows = [
        Row((Cell(label, value=label), *(Cell(f"{n:,}", value=n) for n in counts)))
        for label, counts in zip(facts.labels, facts.counts, strict=True)
    ]
    return as_table("Counts, true class by answer", columns, rows)


TEMPLATE = """
<p>What <b>{{ facts.result }}</b> takes for what, on the test part. Rows are the true class, columns
the answer; a deeper colour is a larger share of the true class.</p>
{% if picture %}
<div class="scroll" role="region" tabindex="0" aria-label="Confusion matrix">{{ picture }}</div>
{{ table }}
{% endif %}
{% if facts.mistakes %}
<h3>Most frequent mistakes</h3>
<ul class="plain">{% for m in facts.mistakes %}
<li><b>{{ m.true }}</b> taken for <b>{{ m.taken_for }}</b>: {{ m.count }} of {{ m.of }}</li>
{% endfor %}</ul>
{% else %}<p>There is no mistake.</p>{% endif %}
"""


def render(facts: Facts) -> str:
    picture = drawn(facts) if len(facts.labels) <= LARGEST else None
    return fill(TEMPLATE, facts=facts, picture=picture, table=values(facts) if picture else "")


SECTION = Section("confusion", "What is taken for what", collect, render)
