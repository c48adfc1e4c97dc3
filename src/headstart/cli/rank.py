"""`headstart rank`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from headstart.cli.common import (
    Column,
    Encoding,
    Group,
    Json,
    Kind,
    Modality,
    Pickle,
    Root,
    Seed,
    Target,
    screen_for,
)


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(rank)


def rank(
    data: Annotated[str, typer.Argument(help="Labelled data, of any form that transfer takes.")],
    models: Annotated[
        str | None,
        typer.Option(help="Model ids or folders A,B,C (random:A: untrained); else all here."),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="To combine, of logme,knn,probe,h_score,sfda,leep,nce; else the first three."
        ),
    ] = None,
    confirm: Annotated[
        int, typer.Option(min=0, help="Fine-tune so many of the first at the end.")
    ] = 0,
    budget: Annotated[str, typer.Option(help="Time for --confirm: 90s, 10m, 1h.")] = "10m",
    examples: Annotated[
        int, typer.Option(min=20, help="Training examples that are looked at, at most.")
    ] = 1000,
    pooling: Annotated[
        str, typer.Option(help="own, or layers (text): the mean over all layers.")
    ] = "own",
    input: Column = None,
    target: Target = None,
    group: Group = None,
    task: Kind = None,
    modality: Modality = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
    seed: Seed = 0,
    allow_pickle: Pickle = False,
    as_json: Json = False,
) -> None:
    """Rank pretrained models for DATA, best first, without training them."""
    from headstart.run.ranking import rank as rank_models

    screen = screen_for(as_json)
    found = rank_models(
        data, None if models is None else [name.strip() for name in models.split(",")],
        scores=None if scores is None else [name.strip() for name in scores.split(",")],
        confirm=confirm, budget=budget, examples=examples, pooling=pooling, input=input,
        target=target, group=group, task=task, modality=modality, encoding=encoding, root=root,
        seed=seed, allow_pickle=allow_pickle, progress=screen.progress, say=screen.say,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from headstart.ranking.show import shown

    console = Console(highlight=False)
    for part in shown(found):
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
