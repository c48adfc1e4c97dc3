"""Options that several commands share, and how a run is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from headstart.console import Screen
    from headstart.run import Run

Json = Annotated[bool, typer.Option("--json", help="Print the record as JSON, and nothing else.")]
Column = Annotated[str | None, typer.Option(help="Column of the inputs (or its number from 0).")]
Target = Annotated[
    str | None, typer.Option(help="Column of the targets; several as a,b,c (0/1 columns).")
]
Encoding = Annotated[str, typer.Option(help="Encoding of text files.")]
Group = Annotated[
    str | None, typer.Option(help="Column of groups that must not part (patient, speaker).")
]
Kind = Annotated[str | None, typer.Option(help="classification, multi-label or regression.")]
Modality = Annotated[str | None, typer.Option(help="image, text or audio.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Pickle = Annotated[bool, typer.Option(help="Accept pickled weights (read with weights_only).")]
Models = Annotated[
    list[str] | None, typer.Option(help="Model id or folder; may be given several times.")
]
Root = Annotated[Path | None, typer.Option(help="Folder that paths in a table are relative to.")]


def screen_for(silent: bool) -> Screen:
    from headstart.console import Screen, quiet_libraries

    quiet_libraries()
    return Screen(silent=silent)


def print_run(run: Run, screen: Screen, as_json: bool) -> None:
    if as_json:
        typer.echo(run.record.to_json(), nl=False)
        return
    show(run)


def show(run: Run) -> None:
    from rich.console import Console

    from headstart.report.terminal import summary

    console = Console(highlight=False)
    console.print(summary(run.record))
    console.print(f"Report: {run.path / 'report.html'}", markup=False, soft_wrap=True)


def answered(answer: Any, scores: Mapping[str, float]) -> str:
    """Return an answer with how sure it is; of several labels each has its own score."""
    if isinstance(answer, list):
        return " | ".join(f"{label}  {scores[label]:.3f}" for label in answer) or "(none)"
    if not scores:
        return f"{answer:.6g}" if isinstance(answer, float) else str(answer)
    return f"{answer}  {max(scores.values()):.3f}"


def interval(measured: Any) -> str:
    if measured.low is None or measured.high is None:
        return f"{measured.value:.4f}"
    return f"{measured.value:.4f}  [{measured.low:.4f}, {measured.high:.4f}]"
