"""Precision against recall of each class or label: what a rare one costs, and where to cut."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import PrecisionRecall, RunRecord
from headstart.report import plot, words
from headstart.report.ranked import chosen_result
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, as_table, render_table

DRAWN = 12  # curves; the table has all
POINTS = 120
CUTS = 20  # points of a curve that say their values


@dataclass(frozen=True, slots=True)
class Facts:
    """Curves of the chosen result, the lowest average precision first."""

    result: str
    examples: int | None
    curves: tuple[tuple[str, PrecisionRecall], ...]


def collect(record: RunRecord) -> Facts | None:
    best = chosen_result(record)
    if best is None or not best.pr_curves:
        return None
    order = sorted(best.pr_curves.items(), key=lambda item: item[1].average_precision.value)
    return Facts(best.name, record.data.counts.get("test"), tuple(order))


def points_of(curve: PrecisionRecall) -> list[tuple[float, float]]:
    """Return (recall, precision), thinned to about POINTS."""
    return plot.thinned(list(zip(curve.recall, curve.precision, strict=True)), POINTS)


def cuts_of(curve: PrecisionRecall) -> list[tuple[float, float, float | None]]:
    """Return (recall, precision, threshold), as many as can be pointed at; the end has none."""
    ends = len(curve.recall) - len(curve.threshold)
    thresholds = [*curve.threshold, *[None] * ends]
    return plot.thinned(list(zip(curve.recall, curve.precision, thresholds, strict=True)), CUTS)


def best_cut(curve: PrecisionRecall) -> tuple[float, float, float, float] | None:
    """Return (threshold, precision, recall, F1) where F1 is highest; None for no threshold."""
    cuts = list(zip(curve.threshold, curve.precision, curve.recall, strict=False))
    scored = [(2 * p * r / (p + r) if p + r else 0.0, t, p, r) for t, p, r in cuts]
    if not scored:
        return None
    f1, threshold, precision, recall = max(scored)
    return threshold, precision, recall, f1


def small(label: str, curve: PrecisionRecall, share: float | None) -> Markup:
    scale, texts = plot.share_axis([0.0, 1.0])
    plane = plot.Plane(scale, scale, texts, texts)
    layers = []
    if share is not None:
        layers.append(plot.path(plane, [(0, share), (1, share)], "ideal"))
    layers.append(plot.path(plane, points_of(curve), "curve c0"))
    cuts = cuts_of(curve)
    titles = [
        f"finds {words.per_cent(r)}, right in {words.per_cent(p)}"
        + (f", from {t:.3f}" if t is not None else "")
        for r, p, t in cuts
    ]
    layers += plot.dots(plane, [(r, p) for r, p, _ in cuts], "stop d0", titles)
    area = words.interval_text("average_precision", curve.average_precision)
    return plot.panel(
        f"{label} ({words.counted(curve.positives, 'example')})", plane, layers,
        along="recall; precision upwards", spoken=f"average precision {area}", height=130,
        values=values(label, cuts),
    )  # fmt: skip


def values(label: str, cuts: list[tuple[float, float, float | None]]) -> Markup:
    """Return the points of one curve as a table."""
    columns = [Column("Threshold", first="ascending"), Column("Recall"), Column("Precision")]
    rows = [
        Row((Cell(words.ABSENT if t is None else f"{t:.3f}", value=t),
             Cell(words.per_cent(r), value=r), Cell(words.per_cent(p), value=p)))
        for r, p, t in cuts
    ]  # fmt: skip
    return as_table(f"Precision and recall of {label}", columns, rows)


TEMPLATE = """
<p>How much of each class <b>{{ facts.result }}</b> finds (recall), and how much of what it takes
for that class is right (precision), over all thresholds. The dashed line is what guessing reaches.
{% if facts.curves|length > drawn %}Drawn are the {{ drawn }} weakest of
{{ facts.curves|length }}.{% endif %}</p>
<div class="panels small">{% for panel in panels %}{{ panel }}{% endfor %}</div>
{{ table }}
<p><small>The threshold shown is where F1 is highest on this very test part: it flatters a little.
Set one on other data.</small></p>
"""


def render(facts: Facts) -> str:
    n = facts.examples
    panels = [small(label, c, c.positives / n if n else None) for label, c in facts.curves[:DRAWN]]
    columns = [Column("Class", numeric=False, first="ascending"),
               Column("Average precision", first="ascending"), Column("Test examples"),
               Column("Highest F1"), Column("at threshold")]  # fmt: skip
    rows = []
    for label, curve in facts.curves:
        cut, area = best_cut(curve), curve.average_precision
        rows.append(Row((
            Cell(label, value=label),
            Cell(words.measured_text("average_precision", area),
                 words.range_text("average_precision", area), area.value),
            Cell(f"{curve.positives:,}", value=curve.positives),
            Cell(words.per_cent(cut[3]) if cut else words.ABSENT, value=cut[3] if cut else None),
            Cell(f"{cut[0]:.3f}" if cut else words.ABSENT, value=cut[0] if cut else None),
        )))  # fmt: skip
    table = render_table("Average precision of each class", columns, rows)
    return fill(TEMPLATE, facts=facts, panels=panels, table=table, drawn=DRAWN)


SECTION = Section("recall", "Precision against recall", collect, render)
