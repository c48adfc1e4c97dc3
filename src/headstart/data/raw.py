"""Examples as they were found, before anybody judged them; and small words that all readers share.

Every reader (folder, table, Python objects) ends in a `Raw`: items, ids and target cells as they
stood in the data, in one part called "all" or in the parts that the data has itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.data.dataset import Item

ALL = "all"  # the one part of data that have no split of their own

# Names of folders, files and cells of a split column, in lower case, to the name of the part.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An example that cannot be used, and why. It is neither deleted nor replaced."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say about their data; None means: look and infer."""

    input: str | None = None
    target: str | tuple[str, ...] | None = None
    group: str | None = None
    modality: str | None = None
    encoding: str = "utf-8"
    root: Path | None = None
    labels: tuple[str, ...] = ()  # known beforehand, when a finished model is evaluated


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples of one part. `cells`: a target as it stood there, or a tuple for several columns."""

    items: Sequence[Item]
    ids: list[str]
    cells: list[Any]
    groups: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> Examples:
        """Return the examples at `rows`, in that order."""
        import numpy as np

        items: Sequence[Item]
        if isinstance(self.items, np.ndarray):
            items = self.items[np.asarray(rows, dtype=np.int64)]
        else:
            items = [self.items[r] for r in rows]
        groups = [self.groups[r] for r in rows] if self.groups is not None else None
        return Examples(items, [self.ids[r] for r in rows], [self.cells[r] for r in rows], groups)


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Everything that a reader found."""

    name: str
    source: str
    modality: str
    parts: dict[str, Examples]
    target: str | tuple[str, ...]  # name of the target; several columns: their names
    said: list[str] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)
    input: str | None = None  # the column that was read, if there was one


def natural(text: str) -> tuple[Any, ...]:
    """Sort key under which "class10" comes after "class9".

    >>> sorted(["b10", "b9", "a"], key=natural)
    ['a', 'b9', 'b10']
    """
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts if p), text


def count(number: int, what: str) -> str:
    """Return "1 file", "2 files", "1 class", "2 classes"."""
    if number == 1:
        return f"1 {what}"
    ending = "es" if what.endswith("s") else "s"
    stem, ending = (what[:-1], "ies") if what.endswith("y") else (what, ending)
    return f"{number:,} {stem}{ending}"


def some(names: Iterable[str], limit: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - limit:,} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def number(cell: Any) -> float | None:
    """Return the cell as a float (NaN and infinities included), or None where it is no number."""
    if isinstance(cell, str):
        cell = cell.strip()
        if not cell or "_" in cell:  # float() takes "1_000", which nobody means in a table
            return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def missing(cell: Any) -> bool:
    """Tell whether a cell holds nothing: None, NaN, NaT, pandas.NA, an empty text, "nan"."""
    if cell is None:
        return True
    if isinstance(cell, str):
        stripped = cell.strip()
        return not stripped or stripped.lower() == "nan"
    if isinstance(cell, float):
        return math.isnan(cell)
    return type(cell).__name__ in {"NAType", "NaTType"} or (
        getattr(cell, "dtype", None) is not None and getattr(cell, "ndim", 1) == 0 and cell != cell
    )


def suffix_kinds() -> dict[str, str]:
    """Map file suffixes to the name of their modality."""
    from headstart.data.modality import BUILTIN
    from headstart.plugins import registry

    return {
        suffix: kind.name
        for kind in registry("modality", BUILTIN).values()
        for suffix in kind.suffixes
    }


def suffix(name: str) -> str:
    """Return the ending of a file name in lower case, with the dot; "" where there is none."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "." + base.rsplit(".", 1)[1].lower() if "." in base[1:] else ""


def media_suffix(cell: Any, kinds: dict[str, str]) -> str | None:
    """Return the modality that a cell's ending names, if it looks like a path at all."""
    if isinstance(cell, Path):
        cell = str(cell)
    if not isinstance(cell, str) or len(cell) > 1024 or "\n" in cell:
        return None
    return kinds.get(suffix(cell.strip()))
