"""What a person must know of the test part before believing any number on this page."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.records import Check, RunRecord
from headstart.report.section import Section, fill

SHOWN = 100  # ids that the page lists; the record keeps more


@dataclass(frozen=True, slots=True)
class Facts:
    """Checks, the gravest first."""

    checks: tuple[Check, ...]


def collect(record: RunRecord) -> Facts | None:
    return Facts(tuple(record.checks)) if record.checks else None


TEMPLATE = """
<ul class="checks plain">
{% for check in facts.checks %}
<li class="{{ check.level }}"><b>{{ check.name|capitalize }}</b>
<span class="tag">{{ check.level }}</span><br>{{ check.words }}
{% if check.examples and check.examples|length > 5 %}
<details><summary>{{ check.examples|length|counted("entry", "entries") }}</summary>
<ul>{% for ids in check.examples[:shown] %}<li>{{ ids|join(" is ") }}</li>{% endfor %}</ul>
{% if check.examples|length > shown %}<p>All of them are in record.json.</p>{% endif %}
</details>{% endif %}</li>
{% endfor %}
</ul>
"""


def render(facts: Facts) -> str:
    return fill(TEMPLATE, facts=facts, shown=SHOWN)


SECTION = Section("checks", "Before you believe it", collect, render)
