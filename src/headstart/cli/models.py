"""`headstart models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.common import Json, Modality

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.sources import BackboneCard

WIDE, WIDER = 100, 120  # columns from which the table says more


def register(app: typer.Typer) -> None:
    """Put the command on `app`."""
    app.command()(models)


def models(
    modality: Modality = None,
    task: Annotated[
        str | None, typer.Option(help="What it was trained for: classification, detection, …")
    ] = None,
    max_parameters: Annotated[
        str | None, typer.Option(help="At most so many parameters: 25M, 1.5B.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where it comes from: starter, hf, local, timm, …")
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Only what can be had here and now.")
    ] = False,
    catalogue: Annotated[
        list[Path] | None, typer.Option(help="A catalogue file of your own; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List well-known pretrained models, those that are here first."""
    from rich.console import Console

    from headstart.sources.catalogue import choose, known

    found = choose(
        known(catalogue or ()),
        modality=modality,
        task=task,
        source=source,
        max_parameters=max_parameters,
        available=available,
    )
    if as_json:
        typer.echo(json.dumps([_plain(card) for card in found], indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for kind in dict.fromkeys(card.modality for card in found):
        _print_table(console, kind, [card for card in found if card.modality == kind])
    _print_notes(console, found)


def _plain(card: BackboneCard) -> dict[str, Any]:
    """Return the card as JSON has it; labels that have a name of their own are left to it."""
    from dataclasses import asdict

    plain = asdict(card)
    return plain | {"labels": []} if card.label_set else plain


def _print_table(console: Console, kind: str, cards: list[BackboneCard]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    # In a narrow terminal a long id goes on in the next line; in a wide one the last column gives.
    longest = max(len(card.id) for card in cards) if console.width >= WIDE else None
    table.add_column(kind, overflow="fold", min_width=min(longest, 50) if longest else None)
    for name, least in (("size", 6), ("ops", 6), ("width", 5)):
        table.add_column(name, justify="right", no_wrap=True, min_width=least)
    table.add_column("here", no_wrap=True, min_width=7)
    if console.width >= WIDE:
        table.add_column("trained for", no_wrap=True, min_width=19)
    if console.width >= WIDER:
        table.add_column("published", no_wrap=True, overflow="ellipsis")
    for card in cards:
        row = [card.id, _short(card.parameters), _short(card.operations), str(card.width or "")]
        row += ["yes" if card.state == "here" else card.state, card.task, _published(card)]
        table.add_row(*row[: len(table.columns)])
    console.print(table)
    console.print()


def _print_notes(console: Console, cards: list[BackboneCard]) -> None:
    from headstart.sources.catalogue import STATES

    if not cards:
        console.print("No model passes these filters.")
        return
    states = dict.fromkeys(card.state for card in cards)
    lines = [f"{'yes' if state == 'here' else state}: {STATES[state]}" for state in states]
    for card in cards:
        reason = card.why or (card.note if card.state in ("install", "absent") else "")
        if reason:
            lines.append(f"  {card.id}: {reason}")
    lines.append(
        "size: parameters of the part that is used; ops: multiply-adds for one example. "
        "Sources, licences and the rest: --json, docs/models.md."
    )
    lines.append("Any Hugging Face folder (--model PATH) or hub id (--model org/name) works too.")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _short(count: int | None) -> str:
    """Return a count in three digits and its scale: 8.21 M; "" for None."""
    if count is None:
        return ""
    for scale, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= scale:
            value = count / scale
            places = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{places}f} {unit}"
    return str(count)


def _published(card: BackboneCard) -> str:
    if not card.published:
        return ""
    first = card.published[0]
    return f"{first.value:g} {first.data}{first.note}"
