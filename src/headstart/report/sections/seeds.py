"""How much results vary with nothing but the seed of their training."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import RunRecord, SeedSpread
from headstart.report import draw, words
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


def picture(scale: draw.Axis, spread: SeedSpread) -> Markup:
    about = f"{spread.result}, mean: {words.interval_text(spread.metric, spread.mean)}"
    marks = [
        draw.tag(
            "circle", draw.tag("title", f"seed {seed}: {words.value_text(spread.metric, value)}"),
            cx=f"{scale.at(value)}%", cy=10, r=3, class_="fold",
        )
        for seed, value in zip(spread.seeds, spread.values, strict=True)
    ]  # fmt: skip
    marks += draw.interval_mark(scale, spread.mean, -4, "main", about)
    parts = draw.grid(scale, "100%")
    parts.append(draw.tag("svg", Markup("").join(marks), y="50%", overflow="visible"))
    return draw.canvas(parts, "100%", "forest")


TEMPLATE = """
<p>The same data, the same split, other seeds: what is left is the luck of training. Small dots are
single seeds on the test part, the large one is their mean with its 95 % interval (a wide one where
seeds are few). A difference between two results that is smaller than this spread says little.</p>
<ol class="chart">
{% for s, mean, between, deviation, drawing in rows %}
<li><span class="name">{{ s.result }}<span class="away">: {{ s.words }}</span>
<small>{{ s.seeds|length|counted("seed") }}, standard deviation {{ deviation }}</small></span>
<span class="drawing">{{ drawing }}</span>
<span class="value"><b>{{ mean }}</b>{% if between %}<small>{{ between }}</small>{% endif %}</span>
</li>
{% endfor %}
</ol>
<div class="chart axis" aria-hidden="true"><span class="name"></span>
<span class="drawing">{{ ticks }}</span><span class="value"></span></div>
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
    rows = []
    for s in facts.spreads:
        size, _ = words.difference_text(facts.metric, s.mean.model_copy(
            update={"value": s.deviation}))  # fmt: skip
        rows.append((
            s, words.measured_text(facts.metric, s.mean), words.range_text(facts.metric, s.mean),
            size.lstrip("+"), picture(scale, s),
        ))  # fmt: skip
    step = scale.ticks[1] - scale.ticks[0]
    texts = [f"{100 * t:g}" if share else words.number(t, step * 10) for t in scale.ticks]
    ticks = draw.canvas(draw.tick_labels(scale, texts, 14), 20, "f")
    return fill(TEMPLATE, facts=facts, rows=rows, ticks=ticks, table=values(facts))


SECTION = Section("seeds", "How much is luck", collect, render)
