"""Where a regression is off: predicted against true, and the residuals."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Residuals, RunRecord
from headstart.report import plot, words
from headstart.report.ranked import chosen_result
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, as_table


@dataclass(frozen=True, slots=True)
class Facts:
    """Residuals of the chosen result."""

    result: str
    target: str
    residuals: Residuals


def collect(record: RunRecord) -> Facts | None:
    best = chosen_result(record)
    if best is None or best.residuals is None or not best.residuals.points:
        return None
    return Facts(best.name, record.labels[0] if record.labels else "target", best.residuals)


def against_truth(facts: Facts) -> Markup:
    points = facts.residuals.points
    scale, texts = plot.number_axis([v for point in points for v in point])
    plane = plot.Plane(scale, scale, texts, texts)
    titles = [f"true {words.number(t)}, predicted {words.number(p)}" for t, p in points]
    ends = [(scale.low, scale.low), (scale.high, scale.high)]
    layers = [plot.path(plane, ends, "ideal"), *plot.dots(plane, points, "main many", titles)]
    return plot.panel(
        "Predicted, by what is true", plane, layers, along="true", height=280,
        spoken="Dots on the diagonal are exact.", values=values(facts),
    )  # fmt: skip


def off_by(facts: Facts) -> Markup:
    points = [(t, p - t) for t, p in facts.residuals.points]
    along, along_texts = plot.number_axis([t for t, _ in points])
    up, up_texts = plot.number_axis([0.0, *(gap for _, gap in points)])
    plane = plot.Plane(along, up, along_texts, up_texts)
    titles = [f"true {words.number(t)}, off by {words.number(gap)}" for t, gap in points]
    layers = [
        plot.path(plane, [(along.low, 0.0), (along.high, 0.0)], "ideal"),
        *plot.dots(plane, points, "main many", titles),
    ]
    return plot.panel(
        "Predicted minus true, by what is true", plane, layers, along="true", height=280,
        spoken="Dots above zero are predicted too high; the table beside has all.",
    )  # fmt: skip


def values(facts: Facts) -> Markup:
    """Return the points of both drawings as a table."""
    columns = [Column("True", first="ascending"), Column("Predicted"), Column("Off by")]
    rows = [
        Row(tuple(Cell(words.number(v), value=v) for v in (true, predicted, predicted - true)))
        for true, predicted in facts.residuals.points
    ]
    return as_table("True and predicted", columns, rows)


TEMPLATE = """
<p>How far <b>{{ facts.result }}</b> is off for {{ facts.target }}. A tilt in the second drawing
says that high values are predicted too low and low ones too high, as cautious models do.</p>
<div class="panels">{{ first }}{{ second }}</div>
<p>On average it predicts {{ bias }} too {{ side }}{% if between %} (95 % interval of predicted
minus true: {{ between }}){% endif %}. Half of all residuals lie between {{ low }} and {{ high }},
nine of ten between {{ lowest }} and {{ highest }}.</p>
"""


def render(facts: Facts) -> str:
    bias, quantiles = facts.residuals.bias, facts.residuals.quantiles
    at = {share: words.number(quantiles.get(share)) for share in ("0.05", "0.25", "0.75", "0.95")}
    return fill(
        TEMPLATE, facts=facts, first=against_truth(facts), second=off_by(facts),
        bias=words.number(abs(bias.value)), side="high" if bias.value >= 0 else "low",
        between=words.range_text("bias", bias), low=at["0.25"], high=at["0.75"],
        lowest=at["0.05"], highest=at["0.95"],
    )  # fmt: skip


SECTION = Section("residuals", "How far it is off", collect, render)
