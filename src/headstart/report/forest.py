"""A list of values with their intervals over one axis: a name, a drawing and a number a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import Interval
from headstart.report import draw, words
from headstart.report.section import fill


@dataclass(frozen=True, slots=True)
class Bar:
    """One row. `tags`: (short word, tone) beside the name; `series`: what a legend calls it."""

    name: str
    value: str
    between: str
    picture: Markup
    note: str = ""
    spoken: str = ""  # after the name, for those who listen
    tags: tuple[tuple[str, str], ...] = ()
    series: str = ""
    strong: bool = False


FOREST = """
<ol class="chart">
{% for bar in bars %}
<li{% if bar.series %} data-series="{{ bar.series }}"{% endif %}
{{- ' class="chosen"'|safe if bar.strong }}>
<span class="name">{{ bar.name }}
{%- for word, tone in bar.tags %} <span class="tag {{ tone }}">{{ word }}</span>{% endfor %}
{%- if bar.spoken %}<span class="away">{{ bar.spoken }}</span>{% endif %}
{%- if bar.note %}<small>{{ bar.note }}</small>{% endif %}</span>
<span class="drawing">{{ bar.picture }}</span>
<span class="value"><b>{{ bar.value }}</b>
{%- if bar.between %}<small>{{ bar.between }}</small>{% endif %}</span>
</li>
{% endfor %}
</ol>
<div class="chart axis" aria-hidden="true"><span class="name"></span>
<span class="drawing">{{ ticks }}</span><span class="value"></span></div>
"""


def forest(bars: Sequence[Bar], scale: draw.Axis, texts: Sequence[str]) -> Markup:
    """Return the list with its axis; `texts` stand under the ticks of `scale`."""
    ticks = draw.canvas(draw.tick_labels(scale, texts, 14), 20, "forest")
    return fill(FOREST, bars=bars, ticks=ticks)


def ticks(metric: str, scale: draw.Axis) -> list[str]:
    """Return the texts of an axis of a metric's values; the unit stands once."""
    share = words.is_share(metric)
    step = scale.ticks[1] - scale.ticks[0]
    texts = [f"{100 * t:g}" if share else words.number(t, step * 10) for t in scale.ticks]
    texts[-1] += f"{words.SPACE}%" if share else ""
    return texts


def signed_ticks(metric: str, scale: draw.Axis) -> list[str]:
    """Return the texts of an axis of differences."""
    factor = 100 if words.is_share(metric) else 1
    return [f"{factor * t:+.6g}".replace("-", words.MINUS) if t else "0" for t in scale.ticks]


def row(
    scale: draw.Axis, interval: Interval, class_: str, about: str, *,
    at: float | None = None, line: str = "zero", small: Sequence[tuple[float, str]] = (),
) -> Markup:  # fmt: skip
    """Return the drawing of one row: an interval that says `about`.

    at: where an upright line of class `line` stands, as the zero of differences; small: (value,
    what it says) of dots under the interval, of which it is the summary.
    """
    parts = draw.grid(scale, "100%")
    if at is not None:
        place = f"{scale.at(at)}%"
        parts.append(draw.line(place, 0, place, "100%", line))
    marks = [
        draw.tag("circle", draw.tag("title", said), cx=f"{scale.at(value)}%", cy=10, r=3,
                 class_="fold")
        for value, said in small
        if scale.low <= value <= scale.high
    ]  # fmt: skip
    marks += draw.interval_mark(scale, interval, -4 if small else 0, class_, about)
    parts.append(draw.tag("svg", Markup("").join(marks), y="50%", overflow="visible"))
    return draw.canvas(parts, "100%", "forest")
