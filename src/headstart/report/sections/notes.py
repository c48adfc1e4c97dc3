"""Things a person should know, as the stages noted them."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.records import RunRecord
from headstart.report.section import Section, fill


@dataclass(frozen=True, slots=True)
class Facts:
    notes: tuple[str, ...]


def collect(record: RunRecord) -> Facts | None:
    return Facts(tuple(record.notes)) if record.notes else None


def render(facts: Facts) -> str:
    return fill("<ul>{% for n in notes %}<li>{{ n }}</li>{% endfor %}</ul>", notes=facts.notes)


SECTION = Section("notes", "Good to know", collect, render)
