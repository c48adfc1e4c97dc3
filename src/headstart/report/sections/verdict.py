"""Did transfer help, by how much, and how sure is that? Before the end: the state of the run."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval, RunRecord, Verdict
from headstart.report import draw, words
from headstart.report.ranked import chosen_result, handed_over, measured
from headstart.report.section import Section, fill
from headstart.report.table import DIFFERENCE, Cell, Column, Row, as_table, difference_cells

TONES = {"helps": "good", "no clear difference": "even", "hurts": "bad"}
ICONS = {  # drawn in a 24 by 24 square
    "good": "M5 19 L19 5 M9 5 H19 V15",
    "even": "M4 9 H20 M4 15 H20",
    "bad": "M5 5 L19 19 M9 19 H19 V9",
    "open": "M12 3 A9 9 0 1 0 12 21 A9 9 0 1 0 12 3 M12 7 V12 L15.5 14",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """The verdict in words and numbers; `state` is empty once the run is done."""

    headline: str
    tone: str  # a key of ICONS
    state: str
    sentence: str
    verdict: Verdict | None
    chosen: str
    chosen_is_baseline: bool
    because: str  # why that one is handed over
    metric: str
    score: Interval | None  # of the chosen result
    where: str  # "sealed test part" or "validation data"
    examples: int | None  # in that part


def collect(record: RunRecord) -> Facts:
    best = chosen_result(record)
    score = measured(record, best).get(record.primary_metric) if best else None
    done = record.status == "done"
    verdict = record.verdict if done else None
    opened = words.test_opened(record)
    sentence = words.without_headline(verdict.words, words.headline(record)) if verdict else ""
    if done and verdict is None:
        sentence = "The record holds no comparison of a pretrained model with a baseline."
    return Facts(
        headline=words.headline(record),
        tone=TONES.get(verdict.answer, "even") if verdict else "open",
        state=words.state_words(record),
        sentence=sentence,
        verdict=verdict,
        chosen=best.name if best else "",
        chosen_is_baseline=bool(best and best.role == "baseline"),
        because=handed_over(record) if done else "",
        metric=record.primary_metric,
        score=score,
        where="sealed test part" if opened else "validation data",
        examples=record.data.counts.get("test" if opened else "validation"),
    )


def said(verdict: Verdict) -> str:
    size, between = words.difference_text(verdict.metric, verdict.difference)
    return f"{verdict.candidate} minus {verdict.against}: {size}" + (
        f" ({between})" if between else ""
    )


def values(verdict: Verdict) -> Markup:
    """Return the drawing's values as a table."""
    columns = [Column("Comparison", numeric=False, first=""), *DIFFERENCE]
    name = Cell(f"{verdict.candidate} minus {verdict.against}")
    row = Row((name, *difference_cells(verdict.metric, verdict.difference)))
    return as_table(f"Difference in {words.metric_title(verdict.metric)}", columns, [row])


def drawn(verdict: Verdict) -> Markup:
    """Return the difference with its interval on a scale that shows zero."""
    difference = verdict.difference
    edges = [v for v in (difference.low, difference.high, difference.value) if v is not None]
    reach = max(abs(v) for v in edges) * 1.05
    towards = [v for v in (-reach / 4, reach / 4) if reach]
    scale = draw.axis([*edges, 0.0, *towards])
    zero = f"{scale.at(0.0)}%"
    factor = 100 if words.is_share(verdict.metric) else 1
    texts = [f"{factor * t:+.6g}".replace("-", words.MINUS) if t else "0" for t in scale.ticks]
    parts = [
        *draw.grid(scale, 56),
        draw.line(zero, 0, zero, 56, "zero"),
        *draw.interval_mark(scale, difference, 28, "main", said(verdict)),
        *draw.tick_labels(scale, texts, 76),
    ]
    return draw.canvas(parts, 82, "difference")


TEMPLATE = """
<p class="headline {{ facts.tone }}">
<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{{ icon }}"/></svg>
<span>{{ facts.headline }}</span></p>
{% if facts.state %}<p class="state" role="status">{{ facts.state }}</p>{% endif %}
{% if facts.sentence %}<p class="lede">{{ facts.sentence }}</p>{% endif %}
{% if facts.verdict %}
<figure class="size">
<div class="big {{ facts.tone }}"><b>{{ size }}</b>
<span>{{ facts.verdict.metric|metric_title }}</span>
{% if between %}<span>95 % interval {{ between }}</span>{% endif %}</div>
<div class="drawing">{{ picture }}
<p class="sides" aria-hidden="true"><span>← baseline better</span><span>transfer better →</span></p>
</div>
<figcaption><b>{{ facts.verdict.candidate }}</b> minus <b>{{ facts.verdict.against }}</b>, on the
same test examples. {{ zero }}</figcaption>
{{ table }}</figure>
{% endif %}
{% if facts.chosen %}
<dl class="key">
<div><dt>Handed over</dt><dd>{{ facts.chosen }}{% if facts.because %}
<small>{{ facts.because }}</small>{% elif facts.chosen_is_baseline %}
<small>a baseline: it was the best on validation data</small>{% endif %}</dd></div>
{% if facts.score %}
<div><dt>{{ facts.metric|metric_title }}</dt><dd>{{ value }}
<small>{{ "95 % interval " ~ score_range if score_range else "no interval" }}</small></dd></div>
{% endif %}
<div><dt>Measured on</dt><dd>{% if facts.examples is not none %}
{{ facts.examples|counted("example") }}<small>{{ facts.where }}</small>
{% else %}{{ facts.where }}{% endif %}</dd></div>
</dl>
{% endif %}
"""


def zero_words(difference: Interval) -> str:
    if difference.low is None or difference.high is None:
        return "There is no interval for this difference."
    if difference.low <= 0 <= difference.high:
        return "The interval includes zero."
    return "The interval excludes zero."


def render(facts: Facts) -> str:
    size, between, picture, zero, table = "", "", Markup(""), "", Markup("")
    if facts.verdict:
        size, between = words.difference_text(facts.verdict.metric, facts.verdict.difference)
        picture, zero = drawn(facts.verdict), zero_words(facts.verdict.difference)
        table = values(facts.verdict)
    score = facts.score
    return fill(
        TEMPLATE,
        facts=facts,
        icon=ICONS[facts.tone],
        size=size,
        between=between,
        picture=picture,
        zero=zero,
        table=table,
        value=words.measured_text(facts.metric, score) if score else "",
        score_range=words.range_text(facts.metric, score) if score else "",
    )


SECTION = Section("verdict", "Verdict", collect, render)
