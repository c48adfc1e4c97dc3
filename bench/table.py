"""What a benchmark gives, and how it is shown: a table for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison. `ours` and `theirs` in `unit`; `ratio` says how many times better ours is.

    `target`: the ratio that must be reached; None where the row only informs.
    """

    what: str
    ours: float
    theirs: float
    ratio: float
    target: float | None
    unit: str = "s"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        return None if self.target is None else self.ratio >= self.target


def faster(
    what: str, ours: float, theirs: float, target: float | None, note: str = "", unit: str = "s"
) -> Row:
    """Return the row of two durations: the ratio is theirs / ours."""
    return Row(
        what=what, ours=ours, theirs=theirs, ratio=theirs / ours, target=target, note=note,
        unit=unit,
    )  # fmt: skip


def below(what: str, ours: float, bound: float, note: str = "", unit: str = "s") -> Row:
    """Return the row of one number that must stay below `bound`: the ratio is bound / ours."""
    return Row(
        what=what, ours=ours, theirs=bound, ratio=bound / ours, target=1.0, note=note, unit=unit
    )  # fmt: skip


def show(rows: Iterable[Row]) -> str:
    """Return the rows as a table of plain text."""
    lines = [("what", "ours", "theirs", "ratio", "target", "met")]
    notes = []
    for row in rows:
        target = "" if row.target is None else f"{row.target:g}"
        met = {None: "", True: "yes", False: "NO"}[row.met]
        ours, theirs = f"{row.ours:.4g} {row.unit}", f"{row.theirs:.4g} {row.unit}"
        lines.append((row.what, ours, theirs, f"{row.ratio:.2f}", target, met))
        notes += [f"{row.what}: {row.note}"] if row.note else []
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    shown = [
        "  ".join(
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*shown, "", *notes]) if notes else "\n".join(shown)


def write_json(rows: Iterable[Row], path: Path) -> None:
    """Write [{what, ours, theirs, ratio, target, met, unit, note}, …]."""
    found = [{**asdict(row), "met": row.met} for row in rows]
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
