"""Several runs as one page, and as a few lines in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import UsageError
from headstart.report import words
from headstart.report.contest import Contest, headline, sentences
from headstart.report.contest.sections import SECTIONS
from headstart.report.page import assembled, write_whole

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def render(contest: Contest) -> str:
    """Return the comparison as one HTML page that needs nothing else."""
    record = contest.leader.record
    return assembled(
        SECTIONS, contest, headline=headline(contest), name=record.data.name,
        under=f"{words.sentence(record.task)}, {words.counted(len(contest.runs), 'run')} compared",
        version=contest.version, made_from="headstart compare",
    )  # fmt: skip


def write(contest: Contest, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises UsageError for a name that does not end in .html, RunError where writing fails.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {path} must end in .html.")
    write_whole(render(contest).encode(), path, "comparison")


def to_json(contest: Contest) -> dict[str, Any]:
    """Return plain values."""
    return {
        "headline": headline(contest),
        "metric": contest.metric,
        "examples": contest.examples,
        "runs": [
            {
                "run": run.name,
                "path": run.path,
                "chosen": run.chosen,
                "metrics": {name: value.model_dump() for name, value in run.metrics.items()},
                "seconds": run.record.seconds,
                "making": run.making,
                "parameters": run.record.result(run.chosen).parameters,
            }
            for run in contest.runs
        ],
        "comparisons": [found.model_dump() for found in contest.comparisons],
        "settings": {
            s.name: {run.name: value for run, value in zip(contest.runs, s.values, strict=True)}
            for s in contest.settings
        },
        "notes": list(contest.notes),
    }


def shown(contest: Contest) -> list[Text | Table]:
    """Return rich renderables, top to bottom. Data texts are never read as markup."""
    from rich.table import Table
    from rich.text import Text

    clear = len(contest.even()) == 1
    parts: list[Text | Table] = [
        Text(headline(contest), style="bold green" if clear else "bold yellow"),
        Text(" ".join(sentences(contest))),
        Text(""),
        scores_table(contest),
        Text(""),
    ]
    parts += [Text(found.words) for found in contest.shown]
    if contest.settings:
        table = Table(box=None, pad_edge=False)
        for title in ("Differs", *(run.name for run in contest.runs)):
            table.add_column(Text(title), overflow="fold")
        for setting in contest.settings:
            table.add_row(*(Text(v or words.ABSENT) for v in (setting.name, *setting.values)))
        parts += [Text(""), table]
    return [*parts, Text(""), *(Text(f"Note: {note}") for note in contest.notes)]


def scores_table(contest: Contest) -> Table:
    """Return one row a run: metric with interval, time, size."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("Run", overflow="fold")
    table.add_column("Handed over", overflow="fold")
    for title in (words.metric_title(contest.metric), "Time", "Parameters"):
        table.add_column(title, justify="right", no_wrap=True)
    for run in contest.runs:
        size = words.ABSENT if run.parameters is None else f"{run.parameters:,}"
        score = words.interval_text(contest.metric, run.metrics[contest.metric])
        style = "bold" if run is contest.leader else None
        name = Text(run.name)
        table.add_row(name, Text(run.chosen), score, words.duration(run.making), size, style=style)
    return table
