"""The augmentation sheet: originals and what becomes of them, on one page that needs nothing else.

Fragments of HTML come from `Modality.show`; texts are compared and escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from markupsafe import Markup, escape

from headstart.report.page import packaged
from headstart.report.section import fill

TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
SHOWN = 600  # characters of a text


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One example: how a person finds it, and escaped fragments of it and of its changed forms."""

    id: str
    original: Markup
    views: tuple[Markup, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the page says. `steps`: (name, what it does, its settings) of each augmentation.

    In what it does, `names` of settings stand in backticks.
    """

    name: str
    modality: str
    spec: str
    seed: int
    steps: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    version: str = ""  # of Headstart


def text_row(id: str, before: str, views: Sequence[str]) -> SheetRow:
    """Return the row of a text: each view shows what came, and struck through what went."""
    return SheetRow(id, escape(_cut(before)), tuple(_merged(before, after) for after in views))


def _cut(text: str) -> str:
    return text[:SHOWN] + "…" if len(text) > SHOWN else text


def _merged(before: str, after: str) -> Markup:
    """Return one text, escaped and cut, in which what went is <del> and what came is <ins>.

    >>> _merged("a good film", "a dull <film>")
    Markup('a <del>good</del><ins>dull</ins> <ins>&lt;</ins>film<ins>&gt;</ins>')
    """
    if before == after:
        return Markup('{} <small class="same">not changed</small>').format(_cut(before))
    old, new = (TOKEN.findall(text[:SHOWN]) for text in (before, after))
    parts: list[Markup] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = escape("".join(old[a:b])), escape("".join(new[c:d]))
        if kind == "equal":
            parts.append(come)
            continue
        parts += [Markup("<del>{}</del>").format(gone)] if gone else []
        parts += [Markup("<ins>{}</ins>").format(come)] if come else []
    more = "…" if max(len(before), len(after)) > SHOWN else ""
    return Markup("").join([*parts, more])


def render(sheet: Sheet) -> bytes:
    """Return the page in UTF-8."""
    styles = Markup(packaged("page.css") + packaged("sheet.css"))
    steps = [(name, _with_code(words), values) for name, words, values in sheet.steps]
    page = fill(packaged("sheet.html.jinja"), sheet=sheet, steps=steps, style=styles)
    return (page.rstrip() + "\n").encode()


def _with_code(words: str) -> Markup:
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(words))))
