"""What is gained when the least sure answers go to a person instead."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Abstention, RunRecord
from headstart.report import plot, words
from headstart.report.ranked import chosen_result
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, as_table


@dataclass(frozen=True, slots=True)
class Facts:
    """Coverage and accuracy of the chosen result."""

    result: str
    abstention: Abstention


def collect(record: RunRecord) -> Facts | None:
    best = chosen_result(record)
    if best is None or best.abstention is None or not best.abstention.points:
        return None
    return Facts(best.name, best.abstention)


def drawn(facts: Facts) -> Markup:
    points = facts.abstention.points
    edges = [v for p in points for v in (p.accuracy.value, p.accuracy.low, p.accuracy.high)]
    up, up_texts = plot.share_axis([v for v in edges if v is not None])
    along, along_texts = plot.share_axis([0.0, 1.0])
    plane = plot.Plane(along, up, along_texts, up_texts)
    spread = [
        (p.coverage, p.accuracy.low, p.accuracy.high)
        for p in points
        if p.accuracy.low is not None and p.accuracy.high is not None
    ]
    line = [(p.coverage, p.accuracy.value) for p in points]
    titles = [
        f"{words.per_cent(p.coverage)} answered, from confidence {p.threshold:.3f}: "
        f"{words.interval_text('accuracy', p.accuracy)} right"
        for p in points
    ]
    layers = [plot.band(plane, spread, "main"), plot.path(plane, line, "curve c0")]
    layers += plot.dots(plane, line, "main", titles)
    return plot.panel(
        "Accuracy of what is answered", plane, layers, along="share of examples that is answered",
        values=values(facts),
    )  # fmt: skip


TEMPLATE = """
<p>When <b>{{ facts.result }}</b> answers only the examples that it is surest of and leaves the rest
to a person. The band is the 95 % interval of each point.</p>
{{ drawing }}
{% if words %}<p>{{ words }}</p>{% endif %}
<p><small>Area under risk against coverage: {{ area }}{{ " (95 % interval " ~ area_range ~ ")"
if area_range }}; 0 is perfect.</small></p>
"""


def gained(facts: Facts) -> str:
    """Say what leaving a fifth to people gains."""
    whole = facts.abstention.points[-1].accuracy.value
    part = next((p for p in facts.abstention.points if abs(p.coverage - 0.8) < 0.02), None)
    if part is None:
        return ""
    size, _ = words.difference_text(
        "accuracy", part.accuracy.model_copy(update={"value": part.accuracy.value - whole})
    )
    return (
        f"With a confidence below {part.threshold:.2f} left to a person, a fifth of the examples, "
        f"accuracy on the others is {words.per_cent(part.accuracy.value)} ({size})."
    )


def values(facts: Facts) -> Markup:
    """Return the drawing's values as a table."""
    columns = [Column("Answered", first="descending"), Column("From confidence"),
               Column("Accuracy")]  # fmt: skip
    rows = [
        Row((
            Cell(words.per_cent(p.coverage), value=p.coverage),
            Cell(f"{p.threshold:.3f}", value=p.threshold),
            Cell(words.measured_text("accuracy", p.accuracy),
                 words.range_text("accuracy", p.accuracy), p.accuracy.value),
        ))
        for p in facts.abstention.points
    ]  # fmt: skip
    return as_table("Accuracy by share answered", columns, rows)


def render(facts: Facts) -> str:
    area = facts.abstention.area
    return fill(
        TEMPLATE, facts=facts, drawing=drawn(facts), words=gained(facts),
        area=words.measured_text("aurc", area), area_range=words.range_text("aurc", area),
    )  # fmt: skip


SECTION = Section("abstention", "If it may decline to answer", collect, render)
