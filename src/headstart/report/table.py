"""A table that can be read aloud, sorted by its headings, scrolled on a phone and printed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval
from headstart.report import words
from headstart.report.section import fill


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. `first`: which way the first press sorts; "" for a column that is not sorted."""

    title: str
    numeric: bool = True
    first: str = "descending"


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell shows, a smaller line under it (the interval), and what it sorts by."""

    text: str
    note: str = ""
    value: float | str | None = None
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in the order of the columns; the first one is the row's heading."""

    cells: tuple[Cell, ...]
    tags: tuple[str, ...] = ()  # short words beside the heading
    strong: bool = False


SHORT = 30  # rows up to which a table that is closed on the screen is open on paper

TABLE = """
<div class="scroll" role="region" tabindex="0" aria-label="{{ caption }}">
<table>
<caption>{{ caption }}</caption>
<thead><tr>
{% for column in columns %}
<th scope="col"{{ ' class="num"'|safe if column.numeric }}
{%- if column.first %} data-first="{{ column.first }}"{% endif %}>{{ column.title }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in rows %}
<tr{{ ' class="chosen"'|safe if row.strong }}>
{%- for cell in row.cells %}
{%- set data %}{% if sorts(cell.value) %} data-value="{{ cell.value }}"{% endif %}{% endset %}
{% if loop.first %}
<th scope="row"{{ data }}>{{ cell.text }}
{%- for tag in row.tags %} <span class="tag">{{ tag }}</span>{% endfor %}
{%- if cell.note %}<small>{{ cell.note }}</small>{% endif %}</th>
{%- else %}
<td{{ ' class="num"'|safe if columns[loop.index0].numeric }}{{ data }}>
{%- if cell.strong %}<b>{{ cell.text }}</b>{% else %}{{ cell.text }}{% endif %}
{%- if cell.note %}<small>{{ cell.note }}</small>{% endif %}</td>
{%- endif %}
{%- endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
"""


def render_table(caption: str, columns: Sequence[Column], rows: Sequence[Row]) -> Markup:
    """Return the table as HTML; every text is escaped. Raises ValueError for a ragged row."""
    for row in rows:
        if len(row.cells) != len(columns):
            raise ValueError(f"Table has {len(columns)} columns and a row of {len(row.cells)}.")
    return fill(TABLE, caption=caption, columns=columns, rows=rows, sorts=_sorts)


def _sorts(value: float | str | None) -> bool:
    """Say whether a cell is sorted by its value; what has none stays last."""
    return value is not None and (isinstance(value, str) or math.isfinite(value))


AS_TABLE = """
<details class="values{{ ' short'|safe if short }}"><summary>As a table
<span class="away">: {{ caption }}</span></summary>
{{ table }}</details>
"""


def as_table(caption: str, columns: Sequence[Column], rows: Sequence[Row]) -> Markup:
    """Return what a drawing shows as a table that is opened on demand; no script is needed."""
    table = render_table(caption, columns, rows)
    return fill(AS_TABLE, caption=caption, table=table, short=len(rows) <= SHORT)


MEASURED = (Column("Value"), Column("95 % interval"))
DIFFERENCE = (Column("Difference"), Column("95 % interval"))


def measured_cells(metric: str, interval: Interval) -> tuple[Cell, Cell]:
    """Return the cells of a value and of its interval, which is sorted by its middle."""
    value = Cell(words.measured_text(metric, interval), value=interval.value)
    return value, _between(words.range_text(metric, interval), interval)


def difference_cells(metric: str, interval: Interval) -> tuple[Cell, Cell]:
    """Return the cells of a difference and of its interval, which is sorted by its middle."""
    size, between = words.difference_text(metric, interval)
    return Cell(size, value=interval.value), _between(between, interval)


def _between(text: str, interval: Interval) -> Cell:
    if interval.low is None or interval.high is None:
        return Cell(words.ABSENT)
    return Cell(text, value=(interval.low + interval.high) / 2)
