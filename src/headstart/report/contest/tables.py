"""The tables of the page on several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup

from headstart.report import words
from headstart.report.contest import Contest, Entrant
from headstart.report.sections.paired import shown_p
from headstart.report.table import (
    DIFFERENCE,
    Cell,
    Column,
    Row,
    difference_cells,
    render_table,
)

SHOWN = 100  # classes
RUN = Column("Run", numeric=False, first="ascending")


def direction(metric: str) -> str:
    """Return which way puts the best first."""
    return "ascending" if words.lower_is_better(metric) else "descending"


def heading(run: Entrant) -> Cell:
    return Cell(run.name, run.chosen, run.name)


def metric_table(contest: Contest) -> Markup:
    """Return every metric of every run; the best of each column is bold."""
    names = list(dict.fromkeys([contest.metric, *(m for run in contest.runs for m in run.metrics)]))
    best = {}
    for name in names:
        values = [run.metrics[name].value for run in contest.runs if name in run.metrics]
        best[name] = min(values) if words.lower_is_better(name) else max(values)
    rows = []
    for run in contest.runs:
        cells = [heading(run)]
        for name in names:
            found = run.metrics.get(name)
            cells.append(
                Cell(words.ABSENT) if found is None else Cell(
                    words.measured_text(name, found), words.range_text(name, found), found.value,
                    strong=found.value == best[name],
                )
            )  # fmt: skip
        rows.append(Row(tuple(cells), strong=run is contest.leader))
    columns = [RUN, *(Column(words.metric_title(n), first=direction(n)) for n in names)]
    return render_table("All metrics of all runs", columns, rows)


def pair_table(contest: Contest, answers: Mapping[str, str]) -> Markup:
    """Return difference, test and p-values of every pair."""
    counted = any(c.won is not None for c in contest.comparisons)
    columns = [Column("Run", numeric=False, first="ascending"),
               Column("Against", numeric=False, first="ascending"),
               Column("Answer", numeric=False, first="ascending"), *DIFFERENCE,
               Column("p", first="ascending"),
               Column("p, corrected", first="ascending")]  # fmt: skip
    if counted:
        columns += [Column("Only the first right"), Column("Only the other right")]
    rows = []
    for c in contest.shown:
        cells = [Cell(c.candidate, c.test, c.candidate), Cell(c.against, value=c.against),
                 Cell(answers[c.answer], value=answers[c.answer]),
                 *difference_cells(c.metric, c.difference),
                 Cell(shown_p(c.p), value=c.p),
                 Cell(shown_p(c.p_holm), value=c.p_holm)]  # fmt: skip
        if counted:
            cells += [
                Cell(words.ABSENT if v is None else f"{v:,}", value=v) for v in (c.won, c.lost)
            ]
        rows.append(Row(tuple(cells)))
    return render_table("Differences between runs", columns, rows)


def class_table(contest: Contest) -> Markup:
    """Return F1 of each class, a column a run, with how far apart the runs are."""
    found = [run.record.result(run.chosen).per_class for run in contest.runs]
    rows = []
    for label in dict.fromkeys(label for of in found for label in of):
        values = [of.get(label, {}).get("f1", math.nan) for of in found]
        known = [v for v in values if math.isfinite(v)]
        apart = max(known) - min(known) if known else 0.0
        cells = [
            Cell(words.value_text("f1", v) if math.isfinite(v) else words.ABSENT, value=v)
            for v in values
        ]
        rows.append((apart, Row((Cell(label, value=label), *cells,
                                 Cell(f"{100 * apart:.1f}", value=apart)))))  # fmt: skip
    rows.sort(key=lambda pair: -pair[0])
    columns = [Column("Class", numeric=False, first="ascending")]
    columns += [Column(run.name) for run in contest.runs]
    columns += [Column("Points apart")]
    return render_table("F1 of each class, by run", columns, [row for _, row in rows[:SHOWN]])


def cost_table(contest: Contest) -> Markup:
    """Return what each run took, and how large what it handed over is."""
    columns = [
        RUN,
        Column(words.metric_title(contest.metric), first=direction(contest.metric)),
        *(Column(title, first="ascending") for title in (
            "Time of the run", "Time to make it", "Time for 1,000 predictions",
            "Parameters", "Trained parameters",
        )),
    ]  # fmt: skip
    rows = []
    for run in contest.runs:
        result, score = run.record.result(run.chosen), run.metrics[contest.metric]
        asked = result.seconds.get("predict")
        each = 1000 * asked / contest.examples if asked is not None else None
        times = [run.record.seconds, run.making, each]
        sizes = [result.parameters.get(name) for name in ("total", "trained")]
        rows.append(Row((
            heading(run),
            Cell(words.measured_text(contest.metric, score),
                 words.range_text(contest.metric, score), score.value),
            *(Cell(words.ABSENT if t is None else words.duration(t), value=t) for t in times),
            *(Cell(words.ABSENT if n is None else f"{n:,}", value=n) for n in sizes),
        ), strong=run is contest.leader))  # fmt: skip
    return render_table("What each run costs", columns, rows)
