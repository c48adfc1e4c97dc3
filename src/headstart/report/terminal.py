"""The record in a terminal: the verdict in words first, then all results, best first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.records import RunRecord
from headstart.report import words
from headstart.report.advised import sentence
from headstart.report.ranked import Ranked, best_first, handed_over, metric_names

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table
    from rich.text import Text

WIDTH = 84  # columns that name, role, one metric and time take; each further metric takes more
MORE = 24
LEVELS = {"warning": "yellow", "error": "bold red"}
STYLES = {"helps": "bold green", "no clear difference": "bold yellow", "hurts": "bold red"}


def verdict_text(record: RunRecord) -> Text:
    """Return the verdict's words; the state of the run where there is no verdict."""
    from rich.text import Text

    verdict = record.verdict if record.status == "done" else None
    text = Text(words.headline(record), style=STYLES.get(verdict.answer, "") if verdict else "bold")
    if verdict:
        size, between = words.difference_text(verdict.metric, verdict.difference)
        about = f"{words.metric_title(verdict.metric)} {size}"
        text.append(f"  {about}" + (f" (95 % interval {between})" if between else ""), style="bold")
        about = words.without_headline(verdict.words, words.headline(record))
        text.append(f"\n{about}", style="default")
    elif record.status != "done":
        text.append(f"\n{words.state_words(record)}", style="default")
    return text


def results_table(record: RunRecord, metrics: int) -> Table:
    """Return the results, best first, with the first `metrics` metrics and their intervals."""
    from rich.table import Table
    from rich.text import Text

    where = "sealed test part" if words.test_opened(record) else "validation data"
    shown = metric_names(record)[:metrics]
    table = Table(
        box=None,
        pad_edge=False,
        title=None,
        caption=f"{'* chosen; ' if record.chosen else ''}on the {where}",
    )
    table.caption_justify = "left"
    table.add_column("Result", overflow="fold")
    table.add_column("Role")
    for metric in shown:
        table.add_column(words.metric_title(metric), justify="right", no_wrap=True)
    table.add_column("Time", justify="right", no_wrap=True)
    for row in best_first(record, record.primary_metric):
        style = "bold" if row.chosen else None
        name = Text(f"{'* ' if row.chosen else '  '}{row.result.name}")
        seconds = words.duration(words.making(row.result.seconds)) if row.result.seconds else ""
        cells = [_cell(row, metric) for metric in shown]
        table.add_row(name, row.result.role, *cells, seconds, style=style)
    return table


def _cell(row: Ranked, metric: str) -> str:
    interval = row.metrics.get(metric)
    return words.interval_text(metric, interval) if interval else words.ABSENT


@dataclass(frozen=True, slots=True)
class Summary:
    """A rich renderable that shows as many metrics as the terminal has room for."""

    record: RunRecord

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        yield from parts_of(self.record, 1 + max(0, options.max_width - WIDTH) // MORE)


def summary(record: RunRecord) -> Summary:
    """Return a rich renderable of the whole record: verdict, results, what was left out, notes.

    Data texts are never read as markup.
    """
    return Summary(record)


def parts_of(record: RunRecord, metrics: int) -> list[Text | Table]:
    """Return the parts from top to bottom."""
    from rich.text import Text

    parts: list[Text | Table] = [verdict_text(record), Text("")]
    if metric_names(record):
        parts += [results_table(record, metrics), Text("")]
    if record.status == "done" and record.chosen and record.chosen_because:
        parts.append(Text(f"Handed over: {record.chosen}. {handed_over(record)}"))
    parts += [Text(f"Over folds: {found.words}") for found in record.cross_validation]
    parts += [Text(f"Over seeds: {found.words}") for found in record.seeds]
    parts += [Text(f"Labels: {told}") for curve in record.label_curves for told in curve.words]
    parts += [
        Text(f"{check.level.capitalize()}: {check.words}", style=LEVELS.get(check.level, ""))
        for check in record.checks
    ]
    if record.data.quarantined:
        count = words.counted(record.data.quarantined, "example")
        parts.append(Text(f"{count} could not be read: see quarantine.csv."))
    if record.data.unlabelled:
        count = words.counted(record.data.unlabelled, "example")
        parts.append(Text(f"{count} had no label and took no part."))
    if record.advice is not None:
        parts.append(Text(sentence(record.advice)))
    parts += [Text(f"Note: {note}") for note in record.notes]
    return parts if str(parts[-1]) else parts[:-1]
