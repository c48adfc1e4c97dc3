"""A table that can be read aloud, sorted by its headings, scrolled on a phone and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

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


TABLE = """
<div class="scroll" role="region" tabindex="0" aria-label="{{ caption }}">
<table>
<caption>{{ caption }}</caption>
<thead><tr>
{% for column in columns %}
<th scope="col"{{ ' class="num"'|safe if column.numeric }}
{%- if column.first %} data-first="{{ column.first }}"><button type="button">
{{- column.title }}&nbsp;<span class="arrow" aria-hidden="true"></span></button>
{%- else %}>{{ column.title }}{% endif %}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in rows %}
<tr{{ ' class="chosen"'|safe if row.strong }}>
{%- for cell in row.cells %}
{%- set data %}{% if cell.value is not none %} data-value="{{ cell.value }}"{% endif %}{% endset %}
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
    return fill(TABLE, caption=caption, columns=columns, rows=rows)
