"""`headstart models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headstart.cli.common import Json, Modality

if TYPE_CHECKING:
    from rich.console import Console

    from headstart.sources import BackboneCard

WIDE, WIDER = 100, 120  # columns from which the table says more
GAP = 2  # between columns


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

    from headstart.sources.catalogue import choose, described, known

    found = choose(
        known(catalogue or ()),
        modality=modality,
        task=task,
        source=source,
        max_parameters=max_parameters,
        available=available,
    )
    if as_json:
        listed = described(found, catalogue or ())
        typer.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for kind in dict.fromkeys(card.modality for card in found):
        _print_table(console, kind, [card for card in found if card.modality == kind])
    _print_notes(console, found)


def _print_table(console: Console, kind: str, cards: list[BackboneCard]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    columns = [("size", 6), ("ops", 6), ("width", 5), ("here", 7), ("trained for", 19)]
    columns = columns if console.width >= WIDE else columns[:-1]
    longest = max(len(kind), *(len(card.id) for card in cards))
    left = console.width - sum(least + GAP for _, least in columns)
    # In a narrow terminal a long id goes on in the next line; in a wide one the last column gives.
    first = min(longest, 50 if console.width >= WIDE else max(left, 10))
    table.add_column(kind, overflow="fold", width=first)
    for name, least in columns:
        justify: Literal["right", "left"] = "right" if least < 7 else "left"
        table.add_column(name, justify=justify, no_wrap=True, width=least)
    if console.width >= WIDER:
        room = left - first - GAP
        table.add_column("published", no_wrap=True, overflow="ellipsis", max_width=room)
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
    reasons: dict[str, list[str]] = {}
    for card in cards:
        reason = card.why or (card.note if card.state in ("install", "absent") else "")
        if reason:
            reasons.setdefault(reason, []).append(card.id)
    lines += [f"  {', '.join(ids)}: {reason}" for reason, ids in reasons.items()]
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
    doubt = "" if first.verified else "unverified "  # in front, where it is not cut off
    return f"{doubt}{first.value:g} {first.data}"
