"""Advice in words and in a terminal: the tree with the path marked, reasons, costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from headstart.records import Advice, AdviceNode, Cost
from headstart.report import words

if TYPE_CHECKING:
    from rich.table import Table
    from rich.tree import Tree

MARK = "▶ "  # before what was taken: not by colour alone


def sized(megabytes: float) -> str:
    """Write a size.

    >>> sized(0.25), sized(45.6), sized(3893.0)
    ('0.25\\xa0MB', '46\\xa0MB', '3.8\\xa0GB')
    """
    if megabytes >= 1024:
        return f"{megabytes / 1024:.1f}{words.SPACE}GB"
    return (
        f"{megabytes:.2g}{words.SPACE}MB" if megabytes < 10 else f"{megabytes:.0f}{words.SPACE}MB"
    )


def weighed(grams: float) -> str:
    """Write grams of CO2 with two digits."""
    if grams >= 1000:
        return f"{grams / 1000:.2g}{words.SPACE}kg of CO2"
    return (
        f"{grams:.2g}{words.SPACE}g of CO2" if grams < 100 else f"{grams:.0f}{words.SPACE}g of CO2"
    )


def cost_text(cost: Cost) -> str:
    """Write a cost as people say it; what is not known is left out."""
    found = []
    if cost.seconds is not None:
        found.append(words.duration(cost.seconds))
    if cost.memory is not None:
        found.append(f"{sized(cost.memory)} of memory")
    if cost.disk is not None:
        found.append(f"{sized(cost.disk)} on disk")
    if cost.grams is not None:
        found.append(weighed(cost.grams))
    return ", ".join(found)


class Compared(NamedTuple):
    """One cost: what it is of, expected and happened ("" where there is nothing), from what."""

    what: str
    expected: str
    happened: str
    rests_on: str = ""


def compared(advice: Advice) -> list[Compared]:
    """Return a row a part, then those of the whole."""
    rows = []
    for part in advice.estimates:
        took = "" if part.happened is None else words.duration(part.happened)
        if _left_out(advice, part.method):
            took = "left out"
        rows.append(Compared(part.what, words.duration(part.seconds), took, part.rests_on))
    after = advice.happened or Cost()
    whole: tuple[tuple[str, float | None, float | None, Callable[[float], str]], ...] = (
        ("time in all", advice.estimated.seconds, after.seconds, words.duration),
        ("memory at most", advice.estimated.memory, after.memory, sized),
        ("disk at most", advice.estimated.disk, after.disk, sized),
        ("CO2", advice.estimated.grams, after.grams, weighed),
    )
    for what, expected, happened, write in whole:
        if expected is not None or happened is not None:
            rows.append(Compared(what, _written(expected, write), _written(happened, write)))
    return rows


def _left_out(advice: Advice, method: str) -> bool:
    """Say whether a training was expected, which the second look at the data did without."""
    always = ("", "simple", "probe", "from scratch")
    return advice.decided and method not in (*always, *advice.methods)


def _written(value: float | None, write: Callable[[float], str]) -> str:
    return "" if value is None else write(value)


def sentence(advice: Advice) -> str:
    """Return what was advised, expected and came of it, in a line."""
    text = f"Advice: {advice.title}. Expected {cost_text(advice.estimated)}"
    return f"{text}; took {cost_text(advice.happened)}." if advice.happened else f"{text}."


def shown(advice: Advice, *, whole: bool = False) -> list[Any]:
    """Return what a rich console prints: advice, tree, reasons, open questions, costs.

    Of the tree: the way that was taken with what turns off it, or the `whole`.
    """
    parts: list[Any] = [f"Advice: {advice.title}", advice.words]
    count = advice.facts.get("models")
    if advice.model and isinstance(count, float | int) and count > 1:
        parts.append(f"Model: {advice.model}, the best of {count:.0f} on few examples.")
    parts += [f"{title} would come first, but is not built yet." for title in advice.not_built]
    if advice.favoured:
        parts.append(f"{advice.favoured.capitalize()} is favoured: {advice.favoured_because}.")
    parts += ["", _tree(advice.tree, whole)]
    if not whole and _folded(advice.tree):
        parts.append("Marked: the way taken. …: more questions, which --whole-tree shows.")
    parts += ["", "Why", *_reasons(advice)]
    if advice.unanswered:
        parts += ["", "Not answered", *(f"  {line}" for line in advice.unanswered)]
    parts += ["", _costs(advice)]
    if advice.assumption:
        parts.append(f"CO2: {advice.assumption}.")
    return [*parts, *advice.notes]


def _folded(node: AdviceNode) -> bool:
    """Return whether some questions off the way are not drawn."""
    if not node.taken:
        return bool(node.branches)
    return any(map(_folded, node.branches))


def _tree(node: AdviceNode, whole: bool) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    def label(one: AdviceNode) -> Text:
        head = f"{one.answer}: " if one.answer else ""
        text = f"{MARK if one.taken else ''}{head}{one.text}"
        more = " …" if not whole and not one.taken and one.branches else ""
        return Text(text + more, style="bold" if one.taken else "dim")

    def grow(tree: Tree, one: AdviceNode) -> Tree:
        for branch in one.branches if whole or one.taken else ():
            grow(tree.add(label(branch)), branch)
        return tree

    return grow(Tree(label(node), guide_style="dim"), node)


def _reasons(advice: Advice) -> Iterator[str]:
    for number, turn in enumerate(advice.turns, 1):
        yield f"{number}. {turn.question} {turn.answer.capitalize()}: {'; '.join(turn.values)}."
        yield f"   {turn.reason[:1].upper()}{turn.reason[1:]}."


def _costs(advice: Advice) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("Cost", overflow="fold")
    table.add_column("expected", justify="right", no_wrap=True)
    if advice.happened:
        table.add_column("happened", justify="right", no_wrap=True)
    table.add_column("rests on", style="dim", overflow="fold")
    for row in compared(advice):
        table.add_row(*(row if advice.happened else (row.what, row.expected, row.rests_on)))
    return table
