"""Can confidence be believed? Reliability diagram, calibration error, and how it was calibrated."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Calibration, Interval, Result, RunRecord
from headstart.report import plot, words
from headstart.report.ranked import best_first, chosen_result
from headstart.report.section import Section, fill
from headstart.report.table import (
    MEASURED,
    Cell,
    Column,
    Row,
    as_table,
    measured_cells,
    render_table,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Calibration of the chosen result; (name, error, Brier score) of all, best result first."""

    result: str
    calibration: Calibration
    how: str
    rows: tuple[tuple[str, Interval, Interval], ...]


def how_calibrated(result: Result) -> str:
    """Say how outputs became probabilities, from what the method noted."""
    details = result.details
    heat = details.get("temperature")
    if details.get("calibration") == "isotonic":
        return "Each class was corrected by a rising curve fitted to held-out training examples"
    if isinstance(heat, int | float) and not isinstance(heat, bool):
        way = "less sure" if heat > 1.0005 else "surer" if heat < 0.9995 else "as sure as before"
        return (
            f"Outputs were divided by a temperature of {heat:.3g}, which makes it {way}; it was "
            "fitted to held-out training or validation examples"
        )
    return ""


def collect(record: RunRecord) -> Facts | None:
    best = chosen_result(record)
    if best is None or best.calibration is None or not best.calibration.bins:
        return None
    rows = tuple(
        (row.result.name, row.result.calibration.error, row.result.calibration.brier)
        for row in best_first(record, record.primary_metric)
        if row.result.calibration is not None
    )
    return Facts(best.name, best.calibration, how_calibrated(best), rows)


def diagram(facts: Facts) -> Markup:
    """Return how often predictions of each confidence were right, beside the diagonal."""
    bins = facts.calibration.bins
    edges = [v for b in bins for v in (b.confidence, b.accuracy.value)]
    edges += [v for b in bins for v in (b.accuracy.low, b.accuracy.high) if v is not None]
    scale, texts = plot.share_axis(edges)
    plane = plot.Plane(scale, scale, texts, texts)
    layers = [plot.path(plane, [(scale.low, scale.low), (scale.high, scale.high)], "ideal")]
    layers += [
        plot.whisker(plane, b.confidence, b.accuracy.low, b.accuracy.high, "main")
        for b in bins
        if b.accuracy.low is not None and b.accuracy.high is not None
    ]
    layers.append(plot.path(plane, [(b.confidence, b.accuracy.value) for b in bins], "curve c0"))
    titles = [
        f"{b.count} predictions, {words.per_cent(b.confidence)} sure: "
        f"{words.interval_text('accuracy', b.accuracy)} right"
        for b in bins
    ]
    layers += plot.dots(plane, [(b.confidence, b.accuracy.value) for b in bins], "main", titles)
    return plot.panel(
        "How often it was right, by how sure it was", plane, layers, along="confidence",
        height=300, square=True, values=values(facts),
    )  # fmt: skip


def values(facts: Facts) -> Markup:
    """Return the diagram's values as a table."""
    columns = [Column("Confidence", first="ascending"), Column("Predictions"),
               Column("Right"), MEASURED[1]]  # fmt: skip
    rows = [
        Row((Cell(words.per_cent(b.confidence), value=b.confidence),
             Cell(f"{b.count:,}", value=b.count), *measured_cells("accuracy", b.accuracy)))
        for b in facts.calibration.bins
    ]  # fmt: skip
    return as_table("How often it was right, by confidence", columns, rows)


TEMPLATE = """
<p>Of predictions that <b>{{ facts.result }}</b> is 80 % sure of, 80 % should be right: dots on the
dashed diagonal. Below it, the model is too sure of itself. Bars are 95 % intervals.</p>
{{ diagram }}
<dl class="key">
<div><dt>Calibration error</dt><dd>{{ error }}<small>{{ "95 % interval " ~ error_range
if error_range else "no interval" }}; 0 is perfect</small></dd></div>
<div><dt>Brier score</dt><dd>{{ brier }}<small>{{ "95 % interval " ~ brier_range
if brier_range else "no interval" }}; 0 is perfect</small></dd></div>
</dl>
{% if facts.how %}<p>{{ facts.how }}; the test part had no say.</p>{% endif %}
<p><small>{{ method }}. {% if unclear %}The interval of the error begins at 0:
this test part shows no flaw.{% endif %}</small></p>
{{ table }}
"""


def render(facts: Facts) -> str:
    error, brier = facts.calibration.error, facts.calibration.brier
    columns = [Column("Result", numeric=False, first="ascending"),
               Column("Calibration error", first="ascending"),
               Column("Brier score", first="ascending")]  # fmt: skip
    rows = [
        Row((Cell(name, value=name), measured(err), measured(score)), strong=name == facts.result)
        for name, err, score in facts.rows
    ]
    return fill(
        TEMPLATE, facts=facts, diagram=diagram(facts),
        method=words.sentence(facts.calibration.method),
        error=words.measured_text("ece", error), error_range=words.range_text("ece", error),
        brier=words.measured_text("brier", brier), brier_range=words.range_text("brier", brier),
        unclear=error.low == 0.0, table=render_table("Calibration of all results", columns, rows),
    )  # fmt: skip


def measured(value: Interval) -> Cell:
    text, between = words.measured_text("ece", value), words.range_text("ece", value)
    return Cell(text, between, value.value)


SECTION = Section("calibration", "Can its confidence be believed", collect, render)
