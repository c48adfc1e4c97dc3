"""`headstart cache`: what is kept between runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from headstart.cli.common import Json


def register(app: typer.Typer) -> None:
    """Put the group of commands on `app`."""
    group = typer.Typer(
        help="What is kept between runs: features of frozen backbones.", no_args_is_help=True
    )
    group.command("ls")(cache_ls)
    group.command("clear")(cache_clear)
    app.add_typer(group, name="cache")


def cache_ls(as_json: Json = False) -> None:
    """List what the feature store holds, last used first."""
    from headstart.features.store import entries, listed

    rows = listed(reversed(list(entries())))
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("key", "backbone", "engine", "rows", "size", "last used", box=None)
    for row in rows:
        size = f"{row['size'] / 2**20:.1f} MB"
        table.add_row(
            row["key"][:16], row["backbone"], row["engine"], f"{row['rows']:,}", size, row["used"]
        )
    Console(soft_wrap=True).print(table)


def cache_clear(
    key: Annotated[str | None, typer.Argument(help="A key of cache ls, or how one begins.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all of them.")] = False,
) -> None:
    """Remove features of KEY, or all of them; they are extracted again when they are needed."""
    from headstart.features.store import clear

    gone = clear(None if everything else key or "")
    for entry in gone:
        typer.echo(f"Removed {entry.key}: {entry.rows:,} rows.")
    typer.echo(f"{sum(entry.size for entry in gone) / 2**20:.1f} MB freed.")
