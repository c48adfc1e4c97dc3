"""`headstart export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.common import screen_for


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(export)


def export(
    run: Annotated[Path, typer.Argument(help="RUN folder.")],
    to: Annotated[str, typer.Option(help="hf, onnx or torchscript-free.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default RUN/export/TO.")
    ] = None,
) -> None:
    """Write the model of a RUN folder into a folder that can be given away."""
    from headstart.run.export import export as write

    screen_for(False)
    typer.echo(str(write(run, to, out)))
