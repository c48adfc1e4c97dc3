"""`headstart models`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from headstart.cli.common import Json


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(models)


def models(
    modality: Annotated[str | None, typer.Option(help="image, text or audio.")] = None,
    as_json: Json = False,
) -> None:
    """List the pretrained models that can be used here and now."""
    from dataclasses import asdict

    from headstart.sources import cards

    found = [card for card in cards() if modality in (None, card.modality)]
    if as_json:
        typer.echo(json.dumps([asdict(card) for card in found], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "takes", "parameters", "width", "here", "note", box=None)
    for card in found:
        size = f"{card.parameters / 1e6:.2f} M" if card.parameters else ""
        here = "yes" if card.available else "no"
        table.add_row(card.id, card.modality, size, str(card.width or ""), here, card.note)
    Console().print(table)
    typer.echo("Any Hugging Face folder (--model PATH) or hub id (--model org/name) works too.")
