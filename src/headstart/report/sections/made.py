"""How each candidate and baseline was made: model, method, what moved, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.records import Result, RunRecord
from headstart.report import words
from headstart.report.ranked import best_first
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table

METHODS = {
    "probe": "frozen features, a tuned linear head",
    "finetune": "fine-tuned in phases with small learning rates",
    "kernel probe": "frozen features, a tuned kernel head",
    "from scratch": "the same architecture from random weights, same budget",
    "simple": "a linear or kernel model on hand-made features",
    "unadapted": "the pretrained model with its own head, as it came",
    "majority": "always the most frequent class",
    "mean": "always the mean of the training targets",
}
LONGEST = 80  # letters of one setting


@dataclass(frozen=True, slots=True)
class Facts:
    """Results, best first, the names of what was timed, and the name of the chosen one."""

    results: tuple[Result, ...]
    timed: tuple[str, ...]
    chosen: str | None


def collect(record: RunRecord) -> Facts | None:
    if not record.results:
        return None
    results = tuple(row.result for row in best_first(record, record.primary_metric))
    timed = tuple(dict.fromkeys(name for result in results for name in result.seconds))
    return Facts(results, timed, record.chosen)


def setting(value: Any) -> str:
    """Write one choice of a method briefly."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):  # a phase of training says its name
        return str(value.get("name", words.ABSENT))
    text = ", ".join(map(setting, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def settings(result: Result) -> tuple[tuple[str, str], ...]:
    """Return (name, value) of the choices that fit on a line; curves and tables are left out."""
    return tuple(
        (name.replace("_", " "), setting(value))
        for name, value in result.details.items()
        if name != "curve" and isinstance(value, str | int | float | bool | list)
    )


def table_row(facts: Facts, result: Result) -> Row:
    total = result.parameters.get("total")
    trained = result.parameters.get("trained")
    seconds = [result.seconds.get(name) for name in facts.timed]
    return Row(
        (
            Cell(result.name, value=result.name),
            Cell(words.ABSENT if trained is None else f"{trained:,}", value=trained),
            Cell(words.ABSENT if total is None else f"{total:,}", value=total),
            *(Cell(words.ABSENT if s is None else words.duration(s), value=s) for s in seconds),
        ),
        tags=("chosen",) if result.name == facts.chosen else (),
        strong=result.name == facts.chosen,
    )


TEMPLATE = """
<ul class="ways">{% for result, method, chosen in ways %}
<li><b>{{ result.name }}</b>: {{ method }}
{%- if result.model %}; model <code>{{ result.model }}</code>{% endif %}.
{% if chosen %}
<small>{% for name, value in chosen %}{{ name }} {{ value }}{{ "; " if not loop.last }}
{%- endfor %}</small>
{% endif %}</li>
{% endfor %}</ul>
{{ table }}
"""


def render(facts: Facts) -> str:
    columns = [
        Column("Result", numeric=False, first="ascending"),
        Column("Trained parameters", first="ascending"),
        Column("All parameters", first="ascending"),
        *(Column(f"Time: {name}", first="ascending") for name in facts.timed),
    ]
    table = render_table(
        "Size and time of each result", columns, [table_row(facts, r) for r in facts.results]
    )
    kinds = [r.name if r.name == "mean" else r.method for r in facts.results]
    ways = [(r, METHODS.get(k, k), settings(r)) for r, k in zip(facts.results, kinds, strict=True)]
    return fill(TEMPLATE, ways=ways, table=table)


SECTION = Section("made", "How each result was made", collect, render)
