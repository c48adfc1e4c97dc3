"""Read Python objects: data frames, dicts, lists and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.items import ACCEPTED, as_list, is_audio, is_pil, read_items
from headstart.data.raw import (
    ALL,
    SPLIT_NAMES,
    Examples,
    Options,
    Raw,
    missing,
)
from headstart.data.rows import Place, from_tables
from headstart.data.table import Table, from_records
from headstart.errors import DataError, UsageError

NAME = "data"
SOURCE = "python objects"
PLURAL = {"image": "images", "text": "texts"}


def read_objects(data: Any, options: Options, targets: Any, groups: Any) -> Raw:
    """Turn Python objects into examples. `targets`, `groups`: values, or None for columns.

    Raises DataError for what is not understood, saying what is.
    """
    if hasattr(data, "to_pandas"):  # pyarrow, polars, Hugging Face datasets
        data = data.to_pandas()
    if _is_splits(data):
        return _read_splits(data, options, targets, groups)
    table = _as_table(data)
    if table is not None:
        return _from_table(table, options, targets, groups)
    if targets is None and isinstance(data, tuple) and len(data) == 2 and not is_audio(data):
        data, targets = data
    if targets is None:
        raise DataError(f"No targets: {type(data).__name__} has no columns. Pass {ACCEPTED}.")
    if options.input is not None or options.group is not None or options.target is not None:
        raise UsageError("input=, target= and group= name columns, and this data has none.")
    cells = as_list(targets)
    items, ids, kept, modality, quarantine, said = read_items(data, options)
    total = len(data)
    if len(cells) != total:
        raise DataError(f"{total:,} inputs and {len(cells):,} targets; one for each is needed.")
    group_list = _groups(groups, total)
    examples = Examples(
        items,
        ids,
        [cells[row] for row in kept],
        [group_list[row] for row in kept] if group_list is not None else None,
    )
    said.insert(0, f"Input: {PLURAL.get(modality, modality)} from Python objects.")
    return Raw(NAME, SOURCE, modality, {ALL: examples}, "target", said, quarantine)


def _is_splits(data: Any) -> bool:
    """Tell a dict of parts, {"train": …, "test": …}, from a dict of columns."""
    return (
        isinstance(data, Mapping)
        and len(data) > 0
        and all(isinstance(key, str) and key.lower() in SPLIT_NAMES for key in data)
        and any(SPLIT_NAMES[key.lower()] == "train" for key in data)
    )


def _read_splits(data: Mapping, options: Options, targets: Any, groups: Any) -> Raw:
    if targets is not None or groups is not None:
        raise UsageError("With a dict of parts, target= and group= must name columns.")
    found = {SPLIT_NAMES[key.lower()]: read_objects(part, options, None, None)
             for key, part in data.items()}  # fmt: skip
    train = found["train"]
    parts = {name: _renamed(raw, name) for name, raw in found.items()}
    quarantine = [bad for raw in found.values() for bad in raw.quarantine]
    return replace(train, parts=parts, quarantine=quarantine)


def _renamed(raw: Raw, part: str) -> Examples:
    if list(raw.parts) != [ALL]:
        raise DataError(f"The part {part!r} has a split column of its own. Remove it.")
    held = raw.parts[ALL]
    return replace(held, ids=[f"{part} {name}" for name in held.ids])


def has_columns(data: Any) -> bool:
    """Tell whether data is a data frame, a dict of columns, or a list of dicts."""
    return (
        (hasattr(data, "columns") and hasattr(data, "iloc"))
        or hasattr(data, "to_pandas")
        or isinstance(data, Mapping)
        or (isinstance(data, list) and len(data) > 0 and isinstance(data[0], Mapping))
    )


def _as_table(data: Any) -> Table | None:
    """Return data that has columns as a table; None for anything else."""
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return Table(
            "the data frame",
            {str(name): data.iloc[:, i].tolist() for i, name in enumerate(data.columns)},
        )
    if isinstance(data, Mapping):
        columns: dict[str, Sequence[Any]] = {
            str(name): as_list(cells) for name, cells in data.items()
        }
        lengths = {name: len(cells) for name, cells in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"The columns differ in length: {lengths}. One cell a row is needed.")
        return Table("the dict", columns)
    if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
        return from_records("the list of dicts", data, None)
    return None


def _from_table(table: Table, options: Options, targets: Any, groups: Any) -> Raw:
    if not len(table):
        raise DataError(f"{table.where} has no rows.")
    columns = dict(table.columns)
    if targets is not None:
        columns["target="] = as_list(targets)
        options = replace(options, target="target=")
    if groups is not None:
        columns["group="] = _groups(groups, len(table)) or []
        options = replace(options, group="group=")
    for name, cells in columns.items():
        if len(cells) != len(table):
            raise DataError(f"{len(table):,} rows and {len(cells):,} values in {name}.")
    where = options.root or Path.cwd()
    place = Place(where, where, free=True)
    chosen = replace(table, columns=columns)
    held = _object_column(chosen, options)
    if held is not None:
        return _from_object_column(chosen, held, options)
    return from_tables(NAME, SOURCE, {ALL: chosen}, {ALL: place}, options)


def _object_column(table: Table, options: Options) -> str | None:
    """Return the column that holds arrays or waveforms themselves, if one does."""
    names = [options.input] if options.input in table.columns else list(table.columns)
    for name in names:
        if name is None:
            continue
        first = next((cell for cell in table.columns[name] if not missing(cell)), None)
        pixels = isinstance(first, np.ndarray) and first.ndim in (2, 3)
        if pixels or is_audio(first) or is_pil(first):
            return name
    return None


def _from_object_column(table: Table, name: str, options: Options) -> Raw:
    """Read a table whose inputs are arrays, by letting row numbers stand for them."""
    items, ids, kept, modality, quarantine, said = read_items(table.columns[name], options)
    stand_in = {**table.columns, name: [f"row {i}" for i in range(len(table))]}
    place = Place(Path.cwd(), Path.cwd(), free=True)
    chosen = replace(options, input=name, modality="text")
    raw = from_tables(NAME, SOURCE, {ALL: Table(table.where, stand_in)}, {ALL: place}, chosen)
    at = {f"row {row}": (items[i], ids[i]) for i, row in enumerate(kept)}
    parts = {}
    for part, held in raw.parts.items():
        known = held.take([i for i, key in enumerate(held.items) if key in at])
        pairs = [at[str(key)] for key in known.items]
        parts[part] = replace(known, items=[p[0] for p in pairs], ids=[p[1] for p in pairs])
    lines = [line for line in raw.said if not line.startswith("Input:")]
    lines = [f"Input: column {name!r}, {modality} as Python objects.", *said, *lines]
    return replace(raw, modality=modality, parts=parts, said=lines, quarantine=quarantine)


def _groups(groups: Any, total: int) -> list[Any] | None:
    if groups is None:
        return None
    found = as_list(groups)
    if len(found) != total:
        raise DataError(f"{total:,} inputs and {len(found):,} groups; one for each is needed.")
    empty = next((i for i, value in enumerate(found) if missing(value)), None)
    if empty is not None:
        raise DataError(f"Row {empty + 1} has no group. Fill it in, or leave group= out.")
    return found


def read_npz(path: Path, options: Options) -> Raw:
    """Read x and y (or x_train, y_train, x_test, y_test) from an .npz file, never by pickle."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name.lower(): file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} cannot be read as .npz: {reason}. Save plain arrays x and y with numpy.savez."
        ) from None
    if "x" in arrays and "y" in arrays:
        raw = read_objects(arrays["x"], options, arrays["y"], None)
    elif {"x_train", "y_train"} <= arrays.keys():
        parts = {"train": (arrays["x_train"], arrays["y_train"])}
        if {"x_test", "y_test"} <= arrays.keys():
            parts["test"] = (arrays["x_test"], arrays["y_test"])
        raw = read_objects(parts, options, None, None)
    else:
        held = ", ".join(arrays) or "nothing"
        raise DataError(f"{path} holds {held}; arrays called x and y are needed.")
    said = [line.replace("Python objects", path.name) for line in raw.said]
    return replace(raw, name=path.stem, source=str(path), said=said)
