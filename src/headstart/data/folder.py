"""Read a folder: class folders, a table of labels beside the files, or one table a part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headstart.data.class_folders import read_class_folders
from headstart.data.listing import (
    EXPECTED,
    Listing,
    has_examples,
    listing,
    no_example,
    passed_over,
)
from headstart.data.raw import (
    ALL,
    SPLIT_NAMES,
    TABLE_SUFFIXES,
    Options,
    Raw,
    count,
    some,
    suffix,
    suffix_kinds,
)
from headstart.data.rows import Place, from_tables
from headstart.data.table import Table, read_table
from headstart.errors import DataError

LABEL_STEMS = frozenset({"labels", "metadata"})


def read_folder(folder: Path, options: Options) -> Raw:
    """Read a data folder, whichever layout it has. Raises DataError with what was expected."""
    top = listing(folder)
    if not top.folders and not top.files:
        raise DataError(f"The folder {folder} is empty. {EXPECTED}")
    labels = _label_table(top, options)
    if labels is not None:
        return _tables(folder, {ALL: labels}, top, options)
    splits = _named_splits(top.folders, lambda path: path.name)
    if splits is not None:
        inner = {part: listing(path) for part, path in splits.items()}
        tables = {part: _label_table(held, options) for part, held in inner.items()}
        found = {part: table for part, table in tables.items() if table is not None}
        if "train" in found:
            return _tables(folder, found, top, options, inner)
        return read_class_folders(folder, inner, top, options)
    split_tables = _named_splits(_tables_in(top), lambda path: path.stem)
    if split_tables is not None:
        return _tables(folder, split_tables, top, options)
    found_tables = _tables_in(top)
    classes = [below for below in top.folders if has_examples(below, options.modality)]
    if len(classes) > 1 or (classes and len(found_tables) != 1):
        return read_class_folders(folder, {ALL: top}, top, options)
    if len(found_tables) == 1:  # perhaps beside one folder of the files that it names
        return _tables(folder, {ALL: found_tables[0]}, top, options)
    if found_tables:
        names = some((path.name for path in found_tables), 8)
        raise DataError(f"{folder} holds several tables: {names}. Name the one that is meant.")
    loose = [path for path in top.files if not no_example(path)]
    kinds = suffix_kinds()
    if any(suffix(path.name) in kinds for path in loose):
        raise DataError(
            f"{folder} holds {count(len(loose), 'file')} without labels. {EXPECTED} "
            "Put each file into a folder named like its class."
        )
    raise DataError(f"{folder} holds no examples. {EXPECTED}")


def _tables_in(held: Listing) -> list[Path]:
    return [path for path in held.files if suffix(path.name) in TABLE_SUFFIXES]


def _label_table(held: Listing, options: Options) -> Path | None:
    """Return labels.csv, metadata.jsonl or the like, if it names files."""
    from headstart.data.columns import profile

    kinds = suffix_kinds()
    for path in _tables_in(held):
        if path.stem.lower() in LABEL_STEMS:
            table = read_table(path, options.encoding, numbered=numbered(options))
            seen = (profile(cells, kinds) for cells in table.columns.values())
            if any(sum(p.kinds.values()) >= 0.5 for p in seen) or options.input in table.columns:
                return path
    return None


def numbered(options: Options) -> bool:
    given = [options.input, *([options.target] if isinstance(options.target, str) else [])]
    return any(value is not None and value.replace(",", "").isdecimal() for value in given)


def _named_splits(paths: list[Path], name: Callable[[Path], str]) -> dict[str, Path] | None:
    """Map parts to paths, where one is called train. Raises DataError where two claim a part."""
    found: dict[str, Path] = {}
    for path in paths:
        part = SPLIT_NAMES.get(name(path).lower())
        if part is None:
            continue
        if part in found:
            raise DataError(
                f"{found[part].parent} has both {found[part].name!r} and {path.name!r}: two for "
                f"the {part} part. Remove or rename one."
            )
        found[part] = path
    if "train" in found:
        return found
    if found and len(found) == len(paths):
        held = some(repr(path.name) for path in found.values())
        raise DataError(
            f"{paths[0].parent} holds only {held}; training data is missing. Add a 'train' part "
            "beside it, or point at the folder above its classes."
        )
    return None


def _tables(
    folder: Path,
    paths: dict[str, Path],
    top: Listing,
    options: Options,
    inner: dict[str, Listing] | None = None,
) -> Raw:
    """Read one table for everything, or one a part."""
    by_number = numbered(options)
    tables: dict[str, Table] = {}
    for part in (part for part in (ALL, "train", "validation", "test") if part in paths):
        tables[part] = read_table(paths[part], options.encoding, numbered=by_number)
    if "train" in tables:
        tables = {p: _like(t, tables["train"], paths[p], options) for p, t in tables.items()}
    places = {part: Place(options.root or paths[part].parent, folder) for part in paths}
    raw = from_tables(folder.name, str(folder), tables, places, options)
    used = set(paths.values())
    passed = [path.name for path in top.files if path not in used]
    if raw.modality == "text" or inner is not None:
        raw.said.extend(passed_over(passed))
    else:  # media may lie beside the table, and need not all be named
        kinds = suffix_kinds()
        raw.said.extend(passed_over([name for name in passed if suffix(name) not in kinds]))
    return raw


def _like(table: Table, train: Table, path: Path, options: Options) -> Table:
    """Read a part again where it was not seen that, like train, it has no header line."""
    if table.header and not train.header:
        return read_table(path, options.encoding, numbered=True)
    return table
