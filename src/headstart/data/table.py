"""A table: named columns of equal length, read from JSONL or Parquet (CSV: delimited.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.raw import TABLE_SUFFIXES, suffix
from headstart.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of cells. Without a header line they are called "0", "1", …"""

    where: str  # what messages call it
    columns: dict[str, Sequence[Any]]
    header: bool = True
    lines: list[int] | None = None  # where each row starts in its file, from 1
    said: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def place(self, row: int) -> str:
        """Say where a row stands, for an error message."""
        if self.lines is not None:
            return f"{self.where}, line {self.lines[row]}"
        return f"{self.where}, row {row + 1}"


def read_table(path: Path, encoding: str, *, numbered: bool = False) -> Table:
    """Read a CSV, TSV, JSONL or Parquet file. Raises DataError that names file and line."""
    kind = suffix(path.name)
    if kind in {".jsonl", ".ndjson"}:
        table = _read_jsonl(path, encoding)
    elif kind == ".parquet":
        table = _read_parquet(path)
    elif kind in TABLE_SUFFIXES:
        from headstart.data.delimited import read_delimited

        table = read_delimited(path, encoding, numbered=numbered)
    else:
        raise DataError(f"{path} is no table; expected one of {', '.join(sorted(TABLE_SUFFIXES))}.")
    if not len(table):
        raise DataError(f"{path} has no rows.")
    return table


def from_records(where: str, records: list[dict[str, Any]], lines: list[int] | None) -> Table:
    """Turn a list of dicts into a table; a key that a record lacks is None there."""
    names = dict.fromkeys(str(key) for record in records for key in record)
    texts = [{str(key): value for key, value in record.items()} for record in records]
    return Table(where, {n: [record.get(n) for record in texts] for n in names}, lines=lines)


def _read_jsonl(path: Path, encoding: str) -> Table:
    from headstart.data.delimited import decoded

    records, lines = [], []
    for index, line in enumerate(decoded(path, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {index} is no JSON: {error.msg}.") from None
        if not isinstance(record, dict):
            raise DataError(
                f"{path}: line {index} holds a {type(record).__name__}; each line must be an "
                'object such as {"text": "…", "label": "…"}.'
            )
        records.append(record)
        lines.append(index)
    return from_records(path.name, records, lines)


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from None
    return Table(path.name, {str(name): table[name].to_pylist() for name in table.column_names})
