"""The test examples of highest loss: as pictures, texts or sounds where the caller brought them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import HardExample, RunRecord
from headstart.report import words
from headstart.report.ranked import chosen_result
from headstart.report.section import Section, fill
from headstart.report.sections.examples import BYTES, fragment


@dataclass(frozen=True, slots=True)
class Facts:
    """Examples with what shows them, None where nothing does (or there was no room)."""

    result: str
    unit: str
    shown: tuple[tuple[HardExample, Markup | None], ...]
    left_out: int  # that had no room


def collect(record: RunRecord) -> Facts | None:
    best = chosen_result(record)
    if best is None or not best.hardest:
        return None
    pictures = getattr(record, "pictures", None)
    given = pictures if isinstance(pictures, Mapping) else {}
    room, left_out, shown = BYTES, 0, []
    for example in best.hardest:
        made = fragment(given.get(example.id))
        if made is not None and len(made) > room:
            made, left_out = None, left_out + 1
        room -= len(made or "")
        shown.append((example, made))
    return Facts(
        best.name, "off by" if record.task == "regression" else "loss", tuple(shown), left_out
    )


TEMPLATE = """
<p>The test examples that surprised <b>{{ facts.result }}</b> most: wrong labels, broken files and
cases it never learned gather here. Look at them before anything else.
{% if not any %}What shows them lies in examples.json of the RUN folder, which was not at
hand.{% endif %}</p>
<div class="gallery hard">{% for example, fragment, loss in rows %}
<figure>{% if fragment %}{{ fragment }}{% endif %}<figcaption>
{% if example.truth or example.answer %}<b>{{ example.truth }}</b>, read as
<b>{{ example.answer }}</b><br>{% endif %}
{{ example.id }}<br>{{ facts.unit }} {{ loss }}</figcaption></figure>
{% endfor %}</div>
{% if facts.left_out %}
<p>What shows {{ facts.left_out|counted("of them", "of them") }} had no room on this page.</p>
{% endif %}
"""


def render(facts: Facts) -> str:
    rows = [(e, made, words.number(e.loss)) for e, made in facts.shown]
    return fill(TEMPLATE, facts=facts, rows=rows, any=any(made for _, made in facts.shown))


SECTION = Section("hardest", "The hardest examples", collect, render)
