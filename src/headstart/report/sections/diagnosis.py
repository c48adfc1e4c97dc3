"""What each training suffers from, what shows it, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.records import Diagnosis, RunRecord
from headstart.report.ranked import best_first
from headstart.report.section import Section, fill

TONES = {"good": "good", "too short to tell": "open", "diverged": "bad"}


@dataclass(frozen=True, slots=True)
class Facts:
    """(result, what was found, the main one first), best result first."""

    found: tuple[tuple[str, tuple[Diagnosis, ...]], ...]


def collect(record: RunRecord) -> Facts | None:
    rows = best_first(record, record.primary_metric)
    found = [(r.result.name, tuple(r.result.diagnosis)) for r in rows if r.result.diagnosis]
    return Facts(tuple(found)) if found else None


TEMPLATE = """
<p>Read off the training curves and the gap between training and validation.</p>
<ul class="ways">{% for name, found in facts.found %}
<li><b>{{ name }}</b>
{% for d in found %}<p><span class="tag {{ tones.get(d.name, 'even') }}">{{ d.name }}</span>
{{ d.evidence }}{% if d.name != "good" %} <b>Remedy:</b> {{ d.remedy }}{% endif %}</p>
{% endfor %}</li>
{% endfor %}</ul>
"""


def render(facts: Facts) -> str:
    return fill(TEMPLATE, facts=facts, tones=TONES)


SECTION = Section("diagnosis", "What training suffers from", collect, render)
