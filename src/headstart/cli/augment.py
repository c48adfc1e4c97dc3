"""`headstart augment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.common import Column, Encoding, Modality, Root, Seed, Target, screen_for


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(augment)


def augment(
    data: Annotated[str, typer.Argument(help="Folder or table, as transfer takes it.")],
    show: Annotated[
        bool, typer.Option("--show", help="Write a sheet of examples before and after.")
    ] = False,
    augment: Annotated[
        str, typer.Option(help="Augmentations, such as flip,rotate:15,colour:0.3; auto; none.")
    ] = "auto",
    count: Annotated[int, typer.Option(min=1, max=100, help="Examples on the sheet.")] = 8,
    views: Annotated[int, typer.Option(min=1, max=20, help="Changed forms of each.")] = 4,
    seed: Seed = 0,
    out: Annotated[
        Path, typer.Option(help="The sheet: .html, or .png of pictures and spectrograms.")
    ] = Path("augment.html"),
    input: Column = None,
    target: Target = None,
    modality: Modality = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
) -> None:
    """Say which augmentations DATA can have; with --show, show what they make of it."""
    from headstart.run.sheet import listed, open_examples, write_sheet

    screen_for(False)
    examples = open_examples(
        data, augment, input=input, target=target, kind=modality, encoding=encoding, root=root
    )
    if show:
        typer.echo(str(write_sheet(examples, out, count=count, views=views, seed=seed)))
        return
    typer.echo(f"--augment {augment} on {examples.name} ({examples.chain.modality}):")
    typer.echo(f"  {examples.chain}\n\nThere are, with their settings:")
    for spec, words in listed(examples.chain.modality):
        typer.echo(f"  {spec}\n      {words}")
    typer.echo("\nSee what they do: headstart augment DATA --show")
