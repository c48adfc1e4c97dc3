"""Gather what `predict` was given: files, folders, tables, sentences, or Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.compute.progress import Progress, silent
from headstart.data.clean import survey
from headstart.data.columns import find_roles
from headstart.data.dataset import Unlabelled
from headstart.data.listing import kind_of, walk
from headstart.data.raw import (
    TABLE_SUFFIXES,
    Options,
    Quarantined,
    suffix,
    suffix_kinds,
)
from headstart.data.rows import Place, file_item, files_of, texts_of
from headstart.data.table import read_table
from headstart.errors import DataError

# Items with their ids.
Found = list[tuple[Any, str]]


def open_inputs(
    inputs: Sequence[Any],
    *,
    modality: str,
    column: str | None = None,
    encoding: str = "utf-8",
    root: Path | str | None = None,
    progress: Progress | None = None,
) -> tuple[Unlabelled, list[Quarantined]]:
    """Return the readable examples among `inputs`, and the others with their reasons.

    Each input is a file of the modality, a folder of such files, a table whose input column is
    `column` (or is inferred), an array or waveform, or, for text, a sentence. Raises DataError
    for a path that does not exist, and where nothing can be read.
    """
    from headstart.data.modality import modality as known

    kind = known(modality)
    base = Path(root).expanduser() if root is not None else None
    options = Options(input=column, modality=modality, encoding=encoding, root=base)
    if isinstance(inputs, (str, Path)):
        inputs = [inputs]
    quarantine: list[Quarantined] = []
    found: Found = []
    if len(inputs) and not any(isinstance(one, (str, Path)) for one in inputs):
        found = _objects(inputs, options, quarantine)
    else:
        for index, one in enumerate(inputs):
            found += _one(one, index, options, quarantine)
    seen = survey(
        [item for item, _ in found], [name for _, name in found], kind, progress=progress or silent
    )
    quarantine += seen.quarantine
    if not len(seen.kept):
        why = f" {quarantine[0].id}: {quarantine[0].reason}." if quarantine else ""
        raise DataError(f"There is no {modality} input that can be read.{why}")
    kept = [found[int(row)] for row in seen.kept]
    items, ids = [item for item, _ in kept], [name for _, name in kept]
    return Unlabelled(modality, items, ids, seen.digests), quarantine


def open_lines(path: Path, *, encoding: str, progress: Progress | None = None) -> Unlabelled:
    """Return the texts of a file that has one a line; empty lines are left out.

    Raises DataError for a file that is not there, cannot be decoded, or holds nothing.
    """
    from headstart.data.modality import modality as known

    try:
        lines = path.expanduser().read_text(encoding).splitlines()
    except (OSError, UnicodeError, LookupError) as error:
        raise DataError(
            f"{path} cannot be read as {encoding} text: {error}. Check the path and --encoding."
        ) from None
    rows = [(line, f"{path.name} line {at}") for at, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(f"{path} holds no text. Give a file with one text a line.")
    items, ids = [line for line, _ in rows], [name for _, name in rows]
    seen = survey(items, ids, known("text"), progress=progress or silent)
    kept = [int(row) for row in seen.kept]
    return Unlabelled("text", [items[at] for at in kept], [ids[at] for at in kept], seen.digests)


def _objects(inputs: Any, options: Options, quarantine: list[Quarantined]) -> Found:
    from headstart.data.items import read_items

    items, ids, _, modality, empty, _ = read_items(inputs, replace(options, input=None))
    if modality != options.modality:
        raise DataError(f"The inputs are {modality}, and the model takes {options.modality}.")
    quarantine += empty
    return list(zip(items, ids, strict=True))


def _one(one: Any, index: int, options: Options, quarantine: list[Quarantined]) -> Found:
    """Read one input. Raises DataError for a path that is not there."""
    modality = options.modality or ""
    if not isinstance(one, (str, Path)):
        return _objects([one], options, quarantine)
    if isinstance(one, str) and modality == "text" and not _may_be_path(one):
        return [(one, f"input {index + 1}")]
    if not str(one).strip():
        raise DataError(f"Input {index + 1} is empty; give a file, a folder or a table.")
    path = Path(one).expanduser()
    if path.is_dir():
        kinds = suffix_kinds()
        files = [file for file in walk(path) if kind_of(file, kinds, modality) == modality]
        if not files:
            raise DataError(f"{path} holds no {modality} files.")
        return [(file_item(file, modality, options.encoding), str(file)) for file in files]
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    if suffix(path.name) in TABLE_SUFFIXES:
        return _table(path, options, quarantine)
    return [(file_item(path, modality, options.encoding), str(path))]


def _may_be_path(text: str) -> bool:
    """Tell a path from a sentence: something stands there, or it is written like a file name."""
    if "\n" in text or len(text) > 1024 or not text.strip():  # "" would be the folder we are in
        return False
    try:
        if Path(text).expanduser().exists():
            return True
    except (OSError, ValueError, RuntimeError):
        return False
    return " " not in text.strip() and suffix(text) in TABLE_SUFFIXES | {".txt"}


def _table(path: Path, options: Options, quarantine: list[Quarantined]) -> Found:
    by_number = options.input is not None and options.input.isdecimal()
    table = read_table(path, options.encoding, numbered=by_number)
    if options.input is None and len(table.columns) == 1:
        options = replace(options, input=next(iter(table.columns)))
    elif options.input is not None and options.input not in table.columns and table.header:
        names = list(table.columns)
        # The column that training read may be called otherwise here; a lone one can only be it.
        options = replace(options, input=names[0]) if len(names) == 1 else options
    roles = find_roles(table, options, need_target=False)
    cells = table.columns[roles.input]
    prefix = f"{path.name} "
    if not roles.paths:
        items, ids, _ = texts_of(cells, prefix, quarantine)
    else:
        base = options.root or path.parent
        items, ids, _ = files_of(
            table, cells, roles.modality, Place(base, base), prefix, options, [], quarantine
        )
    return list(zip(items, ids, strict=True))
