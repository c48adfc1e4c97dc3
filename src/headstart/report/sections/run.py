"""The run itself: when, where, how long, and how to do it again."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.records import RunRecord
from headstart.report import words
from headstart.report.section import Section, fill


@dataclass(frozen=True, slots=True)
class Facts:
    """What was applied, as (name, value) pairs."""

    pairs: tuple[tuple[str, str], ...]
    status: str


def plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    if isinstance(value, float):
        return words.number(value)
    return (
        {True: "yes", False: "no", None: words.ABSENT}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )


def collect(record: RunRecord) -> Facts:
    started = record.created.replace("T", " ")
    pairs = [
        ("Started", started if "Z" in started or "+" in started else f"{started} UTC"),
        ("Took", words.duration(record.seconds)),
        ("Seed", str(record.seed)),
        ("Headstart", record.headstart),
        ("Task", record.task),
    ]
    pairs += [(name.replace("_", " ").capitalize(), plain(v)) for name, v in record.machine.items()]
    return Facts(tuple(pairs), record.status)


TEMPLATE = """
<p>Everything this run was told or worked out stands in <code>recipe.toml</code> beside this page,
ready to be edited and run again. <code>record.json</code> holds every number shown here.</p>
<dl class="pairs">{% for name, value in facts.pairs %}
<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>{% endfor %}</dl>
"""


def render(facts: Facts) -> str:
    return fill(TEMPLATE, facts=facts)


SECTION = Section("run", "How it was run", collect, render)
