"""`headstart compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.common import screen_for


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(compare)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Finished RUN folders with the same test part.", metavar="RUN RUN..."),
    ],
    metric: Annotated[
        str | None, typer.Option(help="Order and compare by this metric; else the task's first.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("compare.html"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON, and nothing else.")
    ] = False,
) -> None:
    """Hold what several runs handed over against each other, on one page."""
    from headstart.report.contest import page
    from headstart.run.comparing import compare_runs

    screen_for(as_json)
    found = compare_runs(runs, metric=metric)
    page.write(found, out)
    if as_json:
        typer.echo(json.dumps(page.to_json(found), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for part in page.shown(found):
        console.print(part)
    console.print(f"Page: {out}", markup=False, soft_wrap=True)
