"""Why these methods were tried: the tree with the path taken, open questions, and the cost."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Advice, AdviceNode, RunRecord
from headstart.report.advised import Compared, compared
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, render_table


@dataclass(frozen=True, slots=True)
class Facts:
    """The advice, and its costs: expected and happened."""

    advice: Advice
    costs: tuple[Compared, ...]


def collect(record: RunRecord) -> Facts | None:
    if record.advice is None:
        return None
    return Facts(record.advice, tuple(compared(record.advice)))


# A nested list can be read aloud, folds on a phone and prints; its lines come from the style.
NODE = """
<li{% if node.taken %} class="taken"{% endif %}>
{%- if node.answer %}<span class="answer">{{ node.answer }}</span> {% endif -%}
{%- if not node.branches %}<b class="leaf">{{ node.text }}</b>
{%- else %}<span>{{ node.text }}</span>{% endif %}
{%- if node.taken %}<span class="away"> (taken)</span>{% endif %}
{%- if branches %}<ul>{{ branches }}</ul>{% endif %}</li>
"""

TEMPLATE = """
<p class="lede">{{ advice.title }}. {{ advice.words }}</p>
{% for title in advice.not_built %}
<p>{{ title }} would come first, but is not built yet.</p>
{% endfor %}
{% if advice.favoured %}
<p>{{ advice.favoured|capitalize }} is favoured: {{ advice.favoured_because }}.</p>
{% endif %}
<ul class="tree plain">{{ tree }}</ul>
<h3>Why, turn by turn</h3>
<ol class="turns">{% for turn in advice.turns %}
<li>{{ turn.question }} <b>{{ turn.answer|capitalize }}</b>
{%- if turn.values %}: {{ turn.values|join("; ") }}{% endif %}.
<small>{{ turn.reason[:1]|upper }}{{ turn.reason[1:] }}.</small></li>
{% endfor %}</ol>
{% if advice.unanswered %}
<h3>What could not be answered</h3>
<ul>{% for line in advice.unanswered %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}
<h3>Expected before anything ran, and what happened</h3>
{{ costs }}
<p><small>{% if advice.assumption %}CO2: {{ advice.assumption }}. {% endif %}
Memory that happened is the most that the process ever had. Loading of libraries, judging and
writing are not foreseen, nor are steps that patience saves.
{%- for note in advice.notes %} {{ note }}{% endfor %}</small></p>
"""


def drawn(node: AdviceNode) -> Markup:
    """Return a node and what hangs on it as list items."""
    branches = Markup("").join(drawn(branch) for branch in node.branches)
    return fill(NODE, node=node, branches=branches)


def render(facts: Facts) -> str:
    columns = [Column("What", numeric=False, first=""), Column("Expected", first=""),
               Column("Happened", first="")]  # fmt: skip
    rows = [
        Row((Cell(one.what, one.rests_on), Cell(one.expected or "–"), Cell(one.happened or "–")))
        for one in facts.costs
    ]
    costs = render_table("Cost: expected and happened", columns, rows)
    return fill(TEMPLATE, advice=facts.advice, tree=drawn(facts.advice.tree), costs=costs)


SECTION = Section("advice", "Why these methods", collect, render)
