"""`headstart advise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.common import (
    Column,
    Encoding,
    Group,
    Json,
    Kind,
    Modality,
    Models,
    Pickle,
    Root,
    Seed,
    Target,
    screen_for,
)
from headstart.compute.footprint import GRID, WATTS


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(advise)


def advise(
    data: Annotated[str, typer.Argument(help="Labelled data, of any form that transfer takes.")],
    model: Models = None,
    budget: Annotated[str, typer.Option(help="Time that there is: 90s, 10m, 1h.")] = "10m",
    target_domain: Annotated[
        Path | None,
        typer.Option(help="Unlabelled examples of where it will be used; .txt: one a line."),
    ] = None,
    other_tasks: Annotated[
        int | None, typer.Option(min=0, help="Other labelled tasks on such inputs that there are.")
    ] = None,
    watts: Annotated[float, typer.Option(min=0.0, help="Watts a core, for grams of CO2.")] = WATTS,
    grid: Annotated[float, typer.Option(min=0.0, help="Grams of CO2 a kWh.")] = GRID,
    input: Column = None,
    target: Target = None,
    test: Annotated[str | None, typer.Option(help="Data that is the sealed test part.")] = None,
    group: Group = None,
    task: Kind = None,
    modality: Modality = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
    seed: Seed = 0,
    allow_pickle: Pickle = False,
    whole_tree: Annotated[
        bool, typer.Option("--whole-tree", help="Draw all of the tree, not the way taken alone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how to transfer to DATA, why, and what it will cost, before anything is trained."""
    from headstart.run.advising import advise as advised

    screen = screen_for(as_json)
    found = advised(
        data, model=model, budget=budget, target_domain=target_domain, other_tasks=other_tasks,
        watts=watts, grid=grid, input=input, target=target, test=test, group=group, task=task,
        modality=modality, encoding=encoding, root=root, seed=seed, allow_pickle=allow_pickle,
        progress=screen.progress, say=screen.say,
    )  # fmt: skip
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    from rich.console import Console

    from headstart.report.advised import shown

    console = Console(highlight=False)
    for part in shown(found, whole=whole_tree):
        console.print(part, markup=False)
    if found.next:
        console.print(f"Next: {found.next}", markup=False, soft_wrap=True)
