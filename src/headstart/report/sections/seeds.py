"""How much results vary with nothing but the seed of their training."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval, RunRecord, SeedSpread
from headstart.report import draw, words
from headstart.report.forest import Bar, forest, row, ticks
from headstart.report.section import Section, fill
from headstart.report.table import Cell, Column, Row, as_table


@dataclass(frozen=True, slots=True)
class Facts:
    """Spreads in the record's order; `gaps` (name, difference of means) says what they mean."""

    metric: str
    spreads: tuple[SeedSpread, ...]


def collect(record: RunRecord) -> Facts | None:
    if not record.seeds:
        return None
    return Facts(record.seeds[0].metric, tuple(record.seeds))


def bar(scale: draw.Axis, spread: SeedSpread) -> Bar:
    metric, mean = spread.metric, spread.mean
    size, _ = words.difference_text(metric, Interval(value=spread.deviation))
    seeds = [
        (value, f"seed {seed}: {words.value_text(metric, value)}")
        for seed, value in zip(spread.seeds, spread.values, strict=True)
    ]
    about = f"{spread.result}, mean: {words.interval_text(metric, mean)}"
    return Bar(
        spread.result, words.measured_text(metric, mean), words.range_text(metric, mean),
        row(scale, mean, "main", about, small=seeds), spoken=f": {spread.words}",
        note=f"{words.counted(len(seeds), 'seed')}, standard deviation {size.lstrip('+')}",
    )  # fmt: skip


TEMPLATE = """
<p>The same data, the same split, other seeds: what is left is the luck of training. Small dots are
single seeds on the test part, the large one is their mean with its 95 % interval (a wide one where
seeds are few). A difference between two results that is smaller than this spread says little.</p>
{{ chart }}
{{ table }}
"""


def values(facts: Facts) -> Markup:
    """Return what each seed gave as a table."""
    columns = [Column("Result", numeric=False, first="ascending"),
               Column("Seed", first="ascending"),
               Column(words.metric_title(facts.metric))]  # fmt: skip
    rows = [
        Row((Cell(s.result, value=s.result), Cell(f"{seed}", value=seed),
             Cell(words.value_text(facts.metric, value), value=value)))
        for s in facts.spreads
        for seed, value in zip(s.seeds, s.values, strict=True)
    ]  # fmt: skip
    return as_table("The metric of each seed", columns, rows)


def render(facts: Facts) -> str:
    share = words.is_share(facts.metric)
    edges = [v for s in facts.spreads for v in s.values]
    edges += [v for s in facts.spreads for v in (s.mean.low, s.mean.high) if v is not None]
    floor, ceiling = (0.0, 1.0) if share else (-1e300, 1e300)
    scale = draw.axis(edges, floor=floor, ceiling=ceiling)
    bars = [bar(scale, spread) for spread in facts.spreads]
    chart = forest(bars, scale, ticks(facts.metric, scale))
    return fill(TEMPLATE, facts=facts, chart=chart, table=values(facts))


SECTION = Section("seeds", "How much is luck", collect, render)
