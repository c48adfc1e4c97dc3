"""The sections of the page on several runs, in order. Facts come from a Contest."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from headstart.report import plot, words
from headstart.report.contest import Contest, headline, sentences
from headstart.report.contest.tables import class_table, cost_table, metric_table, pair_table
from headstart.report.forest import Bar, forest, row, signed_ticks, ticks
from headstart.report.section import Section, fill
from headstart.report.sections.comparison import axis_of
from headstart.report.sections.paired import ANSWERS as RECORDED
from headstart.report.sections.paired import TONES, scale_of
from headstart.report.sections.verdict import ICONS
from headstart.report.table import Cell, Column, Row, as_table, measured_cells, render_table

ANSWERS = {**RECORDED, "helps": "clearly better"}
LEAST = 0.001  # seconds: nothing is drawn as quicker


def every(contest: Contest) -> Contest:
    """Collect for sections that any contest has."""
    return contest


VERDICT = """
<p class="headline {{ tone }}">
<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{{ icon }}"/></svg>
<span>{{ headline }}</span></p>
<p class="lede">{{ said|join(" ") }}</p>
<dl class="key">
<div><dt>Runs</dt><dd>{{ contest.runs|length }}</dd></div>
<div><dt>Test examples</dt><dd>{{ "{:,}".format(contest.examples) }}
<small>the same for all</small></dd></div>
<div><dt>Ordered by</dt><dd>{{ contest.metric|metric_title }}</dd></div>
</dl>
<ul class="aside">{% for note in contest.notes %}<li>{{ note }}</li>{% endfor %}</ul>
"""


def verdict(contest: Contest) -> str:
    tone = "good" if len(contest.even()) == 1 else "even"
    return fill(
        VERDICT, contest=contest, tone=tone, icon=ICONS[tone], headline=headline(contest),
        said=sentences(contest),
    )  # fmt: skip


SCORES = """
<p>{{ contest.metric|metric_title }} of what each run handed over, best first{{ " (lower is better)"
if lower }}. A dot is the value, its bar the 95 % interval; filled are the best and those that it
does not clearly beat.</p>
{{ chart }}
{{ table }}
"""


def scores(contest: Contest) -> str:
    metric = contest.metric
    found = [(run, run.metrics[metric]) for run in contest.runs]
    scale = axis_of(metric, [interval for _, interval in found])
    even = {run.name for run in contest.even()}
    bars = [
        Bar(
            run.name, words.measured_text(metric, interval), words.range_text(metric, interval),
            row(scale, interval, "candidate" if run.name in even else "baseline",
                f"{run.name}: {words.interval_text(metric, interval)}"),
            note=run.chosen, strong=run is contest.leader,
        )
        for run, interval in found
    ]  # fmt: skip
    columns = [Column("Run", numeric=False, first="ascending"),
               Column(words.metric_title(metric)), Column("95 % interval")]  # fmt: skip
    rows = [Row((Cell(r.name, value=r.name), *measured_cells(metric, v))) for r, v in found]
    table = as_table(f"{words.metric_title(metric)} of each run", columns, rows)
    chart = forest(bars, scale, ticks(metric, scale))
    lower = words.lower_is_better(metric)
    return fill(SCORES, contest=contest, chart=chart, table=table, lower=lower)


PAIRS = """
<p>The run named first minus the other, on the same test examples. Whether a difference is claimed
goes by the p-value corrected for {{ contest.comparisons|length|counted("comparison") }}
(Holm 1979).{% if contest.shown|length < contest.comparisons|length %} Shown are those with the
best run; <code>--json</code> has all.{% endif %}</p>
{{ chart }}
{{ table }}
<h3>In words</h3>
<ul>{% for c in contest.shown %}<li>{{ c.words }}</li>{% endfor %}</ul>
"""


def pairs(contest: Contest) -> str:
    scale = scale_of([c.difference for c in contest.shown])
    bars = []
    for c in contest.shown:
        size, between = words.difference_text(c.metric, c.difference)
        name, tone = f"{c.candidate} against {c.against}", TONES[c.answer]
        about = f"{name}: {size}" + (f" ({between})" if between else "")
        picture = row(scale, c.difference, f"main {tone}", about, at=0.0)
        bars.append(Bar(name, size, between, picture, tags=((ANSWERS[c.answer], tone),)))
    chart = forest(bars, scale, signed_ticks(contest.metric, scale))
    return fill(PAIRS, contest=contest, chart=chart, table=pair_table(contest, ANSWERS))


METRICS = """
<p>Each value with its 95 % interval; the best of each column is bold.
<span class="scripted">Press a heading to sort.</span></p>
{{ table }}
"""


def metrics(contest: Contest) -> str:
    return fill(METRICS, table=metric_table(contest))


def classes_of(contest: Contest) -> Contest | None:
    given = [run.record.result(run.chosen).per_class for run in contest.runs]
    return contest if all(given) else None


def classes(contest: Contest) -> str:
    return fill(
        "<p>F1 of each class; where runs differ most comes first.</p>{{ table }}",
        table=class_table(contest),
    )


COST = """
{{ drawing }}
{{ table }}
<p><small>Time is that of the machine of each run. Features that were in the store cost next to
nothing.</small></p>
"""


def cost(contest: Contest) -> str:
    return fill(COST, drawing=cost_plot(contest), table=cost_table(contest))


def cost_plot(contest: Contest) -> Markup:
    """Return the metric against the seconds that making took."""
    metric = contest.metric
    seconds = [max(LEAST, run.making) for run in contest.runs]
    along, along_texts = plot.log_axis(min(seconds), max(seconds))
    values = [run.metrics[metric].value for run in contest.runs]
    share = words.is_share(metric)
    up, up_texts = (
        plot.share_axis(values) if share else plot.number_axis([max(v, -1.0) for v in values])
    )
    plane = plot.Plane(along, up, along_texts, up_texts)
    layers: list[Markup] = []
    for run, took in zip(contest.runs, seconds, strict=True):
        found = words.interval_text(metric, run.metrics[metric])
        about = f"{run.name}: {found} for {words.duration(run.making)}"
        point = (math.log10(took), run.metrics[metric].value)
        layers += plot.dots(plane, [point], "large candidate", [about])
    return plot.panel(
        f"{words.metric_title(metric)}, by time to make it", plane, layers, height=240,
        along="seconds (each step the same factor)", spoken="The table below has the same values.",
    )  # fmt: skip


SETTINGS = """
{% if contest.settings %}<p>Settings and circumstances in which the runs differ;
{{ contest.same|counted("setting") }} {{ "is" if contest.same == 1 else "are" }} the same.</p>
{{ table }}
{% else %}<p>All {{ contest.same }} settings are the same.</p>{% endif %}
"""


def settings(contest: Contest) -> str:
    columns = [Column("Setting", numeric=False, first="ascending")]
    columns += [Column(run.name, numeric=False, first="") for run in contest.runs]
    rows = [
        Row((Cell(s.name, value=s.name), *(Cell(value or words.ABSENT) for value in s.values)))
        for s in contest.settings
    ]
    table = render_table("Settings that differ", columns, rows) if rows else ""
    return fill(SETTINGS, contest=contest, table=table)


PLACES = """
<dl class="pairs">{% for run in contest.runs %}
<div><dt>{{ run.name }}</dt><dd><code>{{ run.path }}</code><small>{{ run.chosen }}
{%- if run.record.created %}, {{ run.record.created[:10] }}{% endif %}
{%- if run.record.verdict %}; {{ run.record.verdict.words }}{% endif %}</small></dd></div>
{% endfor %}</dl>
"""


def places(contest: Contest) -> str:
    return fill(PLACES, contest=contest)


SECTIONS: tuple[Section[Any], ...] = (
    Section("verdict", "Which run is best", every, verdict),
    Section("scores", "How good each is", every, scores),
    Section("pairs", "Run against run", every, pairs),
    Section("metrics", "All metrics", every, metrics),
    Section("classes", "Class by class", classes_of, classes),
    Section("cost", "What each costs", every, cost),
    Section("settings", "What differs between the runs", every, settings),
    Section("runs", "The runs", every, places),
)
