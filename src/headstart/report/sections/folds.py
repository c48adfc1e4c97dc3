"""Cross-validation: the same comparisons over the folds of the training data, repeated."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import CrossValidation, Interval, RunRecord
from headstart.report import words
from headstart.report.forest import forest, signed_ticks
from headstart.report.section import Section, fill
from headstart.report.sections.paired import bar, scale_of
from headstart.report.table import Cell, Column, Row, as_table


@dataclass(frozen=True, slots=True)
class Facts:
    """Comparisons; `gaps` are the differences of single folds, positive is better."""

    found: tuple[CrossValidation, ...]
    gaps: tuple[tuple[float, ...], ...]


def collect(record: RunRecord) -> Facts | None:
    if not record.cross_validation:
        return None
    return Facts(tuple(record.cross_validation), tuple(map(gaps_of, record.cross_validation)))


def gaps_of(found: CrossValidation) -> tuple[float, ...]:
    """Return candidate minus baseline of each fold, turned so that positive is better."""
    sign = -1 if words.lower_is_better(found.metric) else 1
    pair = [found.scores.get(name, []) for name in (found.candidate, found.against)]
    flat = [[v for repeat in scores for v in repeat] for scores in pair]
    return tuple(sign * (a - b) for a, b in zip(*flat, strict=True))


def whole(found: CrossValidation, gaps: tuple[float, ...]) -> Interval:
    """Return the difference with bounds that hold every fold, for the scale."""
    edges = [found.difference.value, *gaps]
    edges += [v for v in (found.difference.low, found.difference.high) if v is not None]
    return Interval(value=found.difference.value, low=min(edges), high=max(edges))


TEMPLATE = """
<p>The training data was cut into {{ first.folds }} folds, {{ first.repeats|counted("time") }};
every result was made again without each fold and measured on it. Whatever is tuned was tuned inside
the other folds; the sealed test part was not touched. Small dots are single folds. Folds share
training examples, so intervals and p-values are corrected for that (Nadeau and Bengio 2003).</p>
{{ chart }}
{{ table }}
<ul>{% for c in facts.found %}<li>{{ c.words }}</li>{% endfor %}</ul>
"""


def values(facts: Facts) -> Markup:
    """Return what each fold said as a table."""
    columns = [Column("Against", numeric=False, first="ascending"),
               Column("Repeat", first="ascending"), Column("Fold", first="ascending"),
               Column("Difference")]  # fmt: skip
    rows = []
    for c, gaps in zip(facts.found, facts.gaps, strict=True):
        for at, gap in enumerate(gaps):
            repeat, fold = at // c.folds + 1, at % c.folds + 1
            size, _ = words.difference_text(c.metric, Interval(value=gap))
            rows.append(Row((Cell(c.against, value=c.against), Cell(f"{repeat}", value=repeat),
                             Cell(f"{fold}", value=fold), Cell(size, value=gap))))  # fmt: skip
    return as_table("Difference in each fold", columns, rows)


def render(facts: Facts) -> str:
    scale = scale_of([whole(c, many) for c, many in zip(facts.found, facts.gaps, strict=True)])
    bars = [
        bar(scale, c, f"{c.candidate} against {c.against}",
            small=[(gap, f"one fold: {gap:+.4g}") for gap in many])
        for c, many in zip(facts.found, facts.gaps, strict=True)
    ]  # fmt: skip
    first = facts.found[0]
    chart = forest(bars, scale, signed_ticks(first.metric, scale))
    return fill(TEMPLATE, facts=facts, first=first, chart=chart, table=values(facts))


SECTION = Section("folds", "Over many splits", collect, render)
