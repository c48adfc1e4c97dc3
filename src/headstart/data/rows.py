"""From tables to examples: cells become texts or files, a split column becomes parts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.data.columns import Roles, find_roles
from headstart.data.raw import (
    ALL,
    SPLIT_NAMES,
    Examples,
    Options,
    Quarantined,
    Raw,
    count,
    media_suffix,
    missing,
    some,
    suffix_kinds,
)
from headstart.data.table import Table
from headstart.errors import DataError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table's paths begin. `free`: Python objects may name files anywhere."""

    base: Path
    home: Path  # ids are relative to it
    free: bool = False


def from_tables(
    name: str, source: str, tables: dict[str, Table], places: dict[str, Place], options: Options
) -> Raw:
    """Turn tables (one called "all", or one a part) into examples.

    Raises DataError for a path that leads outside its folder; files that are not there go to
    quarantine.
    """
    leader = "train" if "train" in tables else next(iter(tables))
    roles = find_roles(tables[leader], options)
    said = [line for table in tables.values() for line in table.said] + list(roles.said)
    quarantine: list[Quarantined] = []
    held: dict[str, _Held] = {}
    for part, table in tables.items():
        lacking = [c for c in (roles.input, *roles.targets, roles.group) if c is not None]
        lacking = [column for column in lacking if column not in table.columns]
        if lacking and part == "test" and roles.input not in lacking:
            said.append(f"{table.where} has no column {lacking[0]!r}: it is left out.")
            continue
        if lacking:
            raise DataError(
                f"{table.where} has no column {lacking[0]!r}, which "
                f"{tables[leader].where} has. Give all parts the same columns."
            )
        prefix = f"{table.where} " if len(tables) > 1 else ""
        held[part] = _examples(table, roles, places[part], prefix, options, said, quarantine)
    if ALL in held:
        parts = _own_parts(tables[ALL], held[ALL], roles, said)
    else:
        parts = {part: kept.examples for part, kept in held.items()}
    target = roles.targets if len(roles.targets) > 1 else roles.targets[0]
    return Raw(name, source, roles.modality, parts, target, said, quarantine, roles.input)


@dataclass(frozen=True, slots=True)
class _Held:
    """Examples together with the row of the table that each came from."""

    examples: Examples
    rows: list[int]


def _examples(
    table: Table,
    roles: Roles,
    place: Place,
    prefix: str,
    options: Options,
    said: list[str],
    quarantine: list[Quarantined],
) -> _Held:
    cells = table.columns[roles.input]
    if roles.paths:
        items, ids, rows = files_of(table, cells, roles.modality, place, prefix, options, said,
                                    quarantine)  # fmt: skip
    else:
        items, ids, rows = texts_of(cells, prefix, quarantine)
    columns = [table.columns[name] for name in roles.targets]
    if len(columns) == 1:
        targets = [columns[0][row] for row in rows]
    else:
        targets = [tuple(column[row] for column in columns) for row in rows]
    groups = None
    if roles.group is not None:
        groups = [table.columns[roles.group][row] for row in rows]
        for row, value in zip(rows, groups, strict=True):
            if missing(value):
                raise DataError(
                    f"{table.place(row)} has no group in column {roles.group!r}. "
                    "Fill it in, or leave --group out."
                )
    return _Held(Examples(items, ids, targets, groups), rows)


def _own_parts(table: Table, held: _Held, roles: Roles, said: list[str]) -> dict[str, Examples]:
    """Divide the one table by its split column, or by the folders that its paths begin with."""
    examples = held.examples
    names: list[str] | None = None
    if roles.split is not None:
        column = table.columns[roles.split]
        empty = next((row for row in held.rows if missing(column[row])), None)
        if empty is not None:
            raise DataError(
                f"{table.place(empty)} has no split in column {roles.split!r}. "
                "Fill in train, validation or test, or remove the column."
            )
        names = [SPLIT_NAMES[str(column[row]).strip().lower()] for row in held.rows]
    elif roles.paths:
        firsts = [str(table.columns[roles.input][row]).split("/")[0].lower() for row in held.rows]
        if len(set(firsts)) > 1 and "train" in {SPLIT_NAMES.get(first) for first in firsts}:
            if not set(firsts) <= SPLIT_NAMES.keys():
                return {ALL: examples}
            names = [SPLIT_NAMES[first] for first in firsts]
            said.append(f"Split: by the folders that the paths in {table.where} begin with.")
    if names is None:
        return {ALL: examples}
    return {
        part: examples.take([i for i, name in enumerate(names) if name == part])
        for part in ("train", "validation", "test")
        if part in names
    }


def texts_of(
    cells: Sequence[Any], prefix: str, quarantine: list[Quarantined]
) -> tuple[list[Any], list[str], list[int]]:
    """Return (texts, ids, rows); rows without a text go to quarantine."""
    items, ids, rows = [], [], []
    for row, cell in enumerate(cells):
        if isinstance(cell, str):
            text = cell
        elif missing(cell):
            text = ""
        else:
            text = str(cell)
        if text.strip():
            items.append(text)
            ids.append(f"{prefix}row {row + 1}")
            rows.append(row)
        else:
            quarantine.append(Quarantined(f"{prefix}row {row + 1}", "empty text"))
    return items, ids, rows


def files_of(
    table: Table,
    cells: Sequence[Any],
    modality: str,
    place: Place,
    prefix: str,
    options: Options,
    said: list[str],
    quarantine: list[Quarantined],
) -> tuple[list[Any], list[str], list[int]]:
    """Return (items, ids, rows) of the files that a column names."""
    kinds = suffix_kinds()
    place = _lower(table, cells, place, said)
    base = os.path.normpath(place.base.absolute())
    bases = (base, os.path.realpath(base))
    home = os.path.normpath(place.home.absolute())
    items, ids, rows, others = [], [], [], []
    times = Counter(str(cell) for cell in cells)
    for row, cell in enumerate(cells):
        if missing(cell):
            quarantine.append(Quarantined(f"{prefix}row {row + 1}", "no path in this row"))
            continue
        full = _resolve(str(cell).strip(), bases, place, table, row)
        called = full[len(home) + 1 :] if full.startswith(home + os.sep) else full
        called = f"{called} (row {row + 1})" if times[str(cell)] > 1 else called
        other = media_suffix(full, kinds)
        if other is not None and other != modality:
            others.append(called)
        elif not os.path.isfile(full):  # noqa: PTH113 - a million rows
            quarantine.append(Quarantined(called, "file does not exist"))
        else:
            items.append(file_item(Path(full), modality, options.encoding))
            ids.append(called)
            rows.append(row)
    if not items and not others:
        raise DataError(
            f"None of the {len(cells):,} files that {table.where} names exists in {place.base}. "
            "Give the folder that its paths begin in with --root."
        )
    if others:
        said.append(
            f"Passed over {count(len(others), 'row')} of {table.where} that name no {modality} "
            f"file: {some(others)}."
        )
    return items, ids, rows


def file_item(path: Path, modality: str, encoding: str) -> Any:
    """Return what stands for a file: its path, or its text. Raises DataError: wrong encoding."""
    if modality != "text":
        return path
    from headstart.data.delimited import decoded

    return decoded(path, encoding)


def _resolve(cell: str, bases: tuple[str, str], place: Place, table: Table, row: int) -> str:
    """Return the absolute path that a cell names. Raises DataError where it leaves the folder."""
    full = os.path.normpath(os.path.join(bases[0], cell))  # noqa: PTH118 - keeps links as named
    if "\\" in cell and os.sep == "/" and not os.path.exists(full):  # noqa: PTH110
        # Written on Windows.
        full = os.path.normpath(os.path.join(bases[0], cell.replace("\\", "/")))  # noqa: PTH118
    if not place.free and not any(full.startswith(base + os.sep) for base in bases):
        raise DataError(
            f"{table.place(row)}: the path {cell!r} leads outside the data folder {place.base}. "
            "If the files lie elsewhere on purpose, give their folder with --root."
        )
    return full


def _lower(table: Table, cells: Sequence[Any], place: Place, said: list[str]) -> Place:
    """Begin paths in a sub-folder where that is where the first files are."""
    first = [str(cell).strip() for cell in cells if not missing(cell)][:5]
    if not first or any((place.base / name).exists() for name in first) or place.free:
        return place
    if not place.base.is_dir():
        raise DataError(f"The folder {place.base} does not exist; give another with --root.")
    for below in sorted(p for p in place.base.iterdir() if p.is_dir())[:50]:
        if all(".." not in Path(name).parts and (below / name).is_file() for name in first):
            said.append(f"Paths in {table.where} begin in the sub-folder {below.name!r}.")
            return replace(place, base=below)
    return place
