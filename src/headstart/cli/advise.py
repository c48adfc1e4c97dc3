"""`headstart advise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.common import Column, Encoding, Json, Root, Target, screen_for
from headstart.compute.footprint import GRID, WATTS


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(advise)


def advise(
    data: Annotated[str, typer.Argument(help="Labelled data, of any form that transfer takes.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Model id or folder; may be given several times.")
    ] = None,
    budget: Annotated[str, typer.Option(help="Time that there is: 90s, 10m, 1h.")] = "10m",
    target_domain: Annotated[
        Path | None, typer.Option(help="Unlabelled examples of where the model will be used.")
    ] = None,
    other_tasks: Annotated[
        int | None, typer.Option(min=0, help="Other labelled tasks on such inputs that there are.")
    ] = None,
    watts: Annotated[float, typer.Option(min=0.0, help="Watts a core, for grams of CO2.")] = WATTS,
    grid: Annotated[float, typer.Option(min=0.0, help="Grams of CO2 a kWh.")] = GRID,
    input: Column = None,
    target: Target = None,
    test: Annotated[str | None, typer.Option(help="Data that is the sealed test part.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of groups.")] = None,
    task: Annotated[
        str | None, typer.Option(help="classification, multi-label or regression.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="image, text or audio.")] = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    allow_pickle: Annotated[
        bool, typer.Option(help="Accept pickled weights (read with weights_only).")
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
    for part in shown(found):
        console.print(part, markup=False)
