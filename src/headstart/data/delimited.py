"""Read CSV and TSV files as people really write them, with every row accounted for.

Real files disagree with the standard: a header separated by commas above rows separated by tabs,
raw tabs with stray quotation marks, no header at all. Each case is recognised by what makes the
whole file consistent, and is said aloud; a file that stays inconsistent is an error that names
the line.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headstart.data.columns import KNOWN_NAMES, plain_name
from headstart.data.raw import media_suffix, number, suffix, suffix_kinds
from headstart.data.table import Table
from headstart.errors import DataError

SEPARATORS = {"\t": "tab", ",": "','", ";": "';'", "|": "'|'"}
SAMPLE = 300  # lines that are looked at to find the separator
LONGEST_NAME = 100  # characters; a longer cell in the first line is no column name


@dataclass(frozen=True, slots=True)
class _Rows:
    """Parsed rows with the line each starts on; `broken`: the line that could not be parsed."""

    rows: list[list[str]]
    lines: list[int]
    broken: int | None = None

    def ragged(self, width: int) -> int | None:
        """Return the index of the first row that has another width."""
        for index, row in enumerate(self.rows):
            if len(row) != width:
                return index
        return None


def decoded(path: Path, encoding: str) -> str:
    """Return the text of a file, newlines as \\n. Raises DataError that names byte and line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    plain = encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
    try:
        # utf-8-sig drops the mark that spreadsheet programs put in front.
        text = raw.decode("utf-8-sig" if plain else encoding)
    except LookupError:
        raise DataError(
            f"Unknown encoding {encoding!r}; give --encoding utf-8, latin-1, cp1252, utf-16, …"
        ) from None
    except UnicodeDecodeError as error:
        at = raw[error.start] if error.start < len(raw) else 0
        line = raw.count(b"\n", 0, error.start) + 1
        likely = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
        raise DataError(
            f"{path} is not {encoding}: byte 0x{at:02x} at position {error.start}, line {line}. "
            f"Say how it was saved, e.g. --encoding {likely}."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path} holds a zero byte in line {line}: it is no text in {encoding!r}. "
            "Say how it was saved with --encoding, e.g. utf-16."
        )
    text = text.replace("\r\n", "\n")
    return text.replace("\r", " " if "\n" in text else "\n")


def read_delimited(path: Path, encoding: str, *, numbered: bool = False) -> Table:
    """Read a CSV or TSV file. `numbered`: the person named columns by number.

    Columns are called "0", "1", … where there is no header line. Raises DataError for an empty
    file, a wrong encoding, or rows of unequal width (with the line number).
    """
    text = decoded(path, encoding)
    lines = text.split("\n")
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if not filled:
        raise DataError(f"{path} is empty; a header line and rows were expected.")
    said: list[str] = []
    separator = _separator(path, [lines[i] for i in filled[: SAMPLE + 1]])
    body = _parse(path, lines, separator, said)
    head, rows, at = body.rows[0], body.rows[1:], body.lines[1:]
    if rows and len(head) != len(rows[0]):
        head = _other_header(path, lines[filled[0]], separator, len(rows[0]), said)
    return _named(path, head, rows, body.lines[0], at, numbered, said)


def _separator(path: Path, sample: list[str]) -> str:
    """Return the separator under which most sampled rows have one width above 1; "" for none.

    A first line without any separator makes a table of one column, in which commas may stand.
    """
    if not any(candidate in sample[0] for candidate in SEPARATORS):
        return ""
    default = "\t" if suffix(path.name) == ".tsv" else ","
    rows = sample[1:] or sample
    best, chosen = (0.0, False, False, False), ""
    for candidate in SEPARATORS:
        share, width = max(_agreement(rows, candidate, quoted) for quoted in (True, False))
        head = len(next(csv.reader(sample[:1], delimiter=candidate)))
        # A tab says most: it hardly ever stands in prose. Then what the header is separated by.
        rank = (share, candidate == "\t", head == width, candidate == default)
        if share > 0 and rank > best:
            best, chosen = rank, candidate
    return chosen


def _agreement(rows: list[str], separator: str, quoted: bool) -> tuple[float, int]:
    """Return (share of rows that have the commonest width, width); share 0 for a width of 1."""
    if quoted:
        with _wide_fields():
            parsed = list(csv.reader(rows, delimiter=separator))
    else:
        parsed = [row.split(separator) for row in rows]
    width, times = Counter(len(row) for row in parsed).most_common(1)[0]
    # Lines swallowed by a stray quotation mark count against the quoted reading.
    return (times / len(rows) if width > 1 else 0.0), width


@contextmanager
def _wide_fields() -> Iterator[None]:
    """Let csv read fields beyond 128 KiB, and put its limit back."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parse(path: Path, lines: list[str], separator: str, said: list[str]) -> _Rows:
    """Parse all lines with or without quotation marks, whichever makes the file consistent."""
    plain = _split(lines, separator)
    if not any('"' in line for line in lines):
        return _whole(path, plain, separator)
    quoted = _quoted(lines, separator or "\t", False)
    if any(f'{separator} "' in line for line in lines) and separator and not _agrees(quoted):
        spaced = _quoted(lines, separator, True)
        if _agrees(spaced):
            return spaced
    quoted_fits = _fits(quoted) and (bool(separator) or _width(quoted) == 1)
    swallowed = bool(separator) and len(plain.rows) > len(quoted.rows)
    if _fits(plain) and (not quoted_fits or swallowed):
        said.append(
            f"{path.name}: quotation marks stand singly in it, so they were read as plain "
            f"characters, one row a line ({len(plain.rows):,} lines)."
        )
        return plain
    if quoted_fits:
        return quoted
    return _whole(path, plain if separator == "\t" else quoted, separator)


def _split(lines: list[str], separator: str) -> _Rows:
    kept = [(i + 1, line) for i, line in enumerate(lines) if line.strip()]
    rows = [line.split(separator) if separator else [line] for _, line in kept]
    return _Rows(rows, [i for i, _ in kept])


def _quoted(lines: list[str], separator: str, spaced: bool) -> _Rows:
    rows, starts, start = [], [], 1
    reader = csv.reader(
        (line + "\n" for line in lines), delimiter=separator, strict=True, skipinitialspace=spaced
    )
    with _wide_fields():
        try:
            for row in reader:
                if row and (len(row) > 1 or row[0].strip()):
                    rows.append(row)
                    starts.append(start)
                start = reader.line_num + 1
        except csv.Error:
            return _Rows(rows, starts, broken=start)
    return _Rows(rows, starts)


def _width(parsed: _Rows) -> int:
    body = parsed.rows[1:] or parsed.rows
    return Counter(len(row) for row in body).most_common(1)[0][0] if body else 0


def _fits(parsed: _Rows) -> bool:
    """Tell whether all rows below the first line agree in width."""
    if parsed.broken or not parsed.rows:
        return False
    width = _width(parsed)
    return all(len(row) == width for row in parsed.rows[1:])


def _agrees(parsed: _Rows) -> bool:
    """Tell whether all rows agree in width, the first line included."""
    return _fits(parsed) and len(parsed.rows[0]) == _width(parsed)


def _whole(path: Path, parsed: _Rows, separator: str) -> _Rows:
    """Return the rows if they agree. Raises DataError that names the line where they do not."""
    if _fits(parsed):
        return parsed
    width, sep = _width(parsed), SEPARATORS.get(separator, "none")
    below = _Rows(parsed.rows[1:], parsed.lines[1:])
    index = below.ragged(width)
    if index is not None:
        raise DataError(
            f"{path}: line {below.lines[index]} has {len(below.rows[index])} fields, expected "
            f"{width} (separator {sep}). Put fields that contain the separator in quotation marks."
        )
    raise DataError(
        f"{path}: line {parsed.broken} has an unbalanced quotation mark. Double the marks "
        'inside a quoted field ("") or save the table as JSONL or Parquet.'
    )


def _other_header(path: Path, line: str, separator: str, width: int, said: list[str]) -> list[str]:
    """Split a header line by the separator that gives it as many names as rows have fields."""
    for other, called in SEPARATORS.items():
        names = next(csv.reader([line], delimiter=other))
        if other != separator and len(names) == width:
            said.append(
                f"{path.name}: its header is separated by {called}, "
                f"its rows by {SEPARATORS[separator]}; both were read so."
            )
            return names
    raise DataError(
        f"{path}: line 1 names {len(next(csv.reader([line], delimiter=separator or ',')))} "
        f"columns, and the rows have {width}. Give every column a name."
    )


def _named(
    path: Path,
    head: list[str],
    rows: list[list[str]],
    first_line: int,
    lines: list[int],
    numbered: bool,
    said: list[str],
) -> Table:
    """Name the columns by the first line, or by number where that line is data."""
    answer = looks_like_header(head, rows)
    if answer is False or (answer is None and numbered):
        rows, lines = [head, *rows], [first_line, *lines]
        names, header = [str(i) for i in range(len(head))], False
    else:
        names, header = [n.strip() or f"column {i}" for i, n in enumerate(head)], True
    double = [name for name, times in Counter(names).items() if times > 1]
    if double:
        raise DataError(f"{path}: two columns are called {double[0]!r}. Rename one of them.")
    values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    return Table(path.name, dict(zip(names, values, strict=True)), header, lines, tuple(said))


def looks_like_header(first: list[str], rows: list[list[str]]) -> bool | None:
    """Tell whether the first line names columns; None where nothing speaks for or against.

    Against: a number, a long text, or a value that comes again in the same column. For: a usual
    column name, or a column that is numeric except there.
    """
    cells = [cell.strip() for cell in first]
    if cells == [str(i) for i in range(len(cells))]:
        return len(cells) > 1 or None
    if any(number(c) is not None or len(c) > LONGEST_NAME or c.count(" ") > 9 for c in cells):
        return False
    sample = rows[:5000]
    again = any(
        cell and any(row[i].strip() == cell for row in sample) for i, cell in enumerate(cells)
    )
    if again:
        return False
    if any(plain_name(cell) in KNOWN_NAMES for cell in cells):
        return True
    kinds = suffix_kinds()
    if any(media_suffix(cell, kinds) for cell in cells):
        return False  # the name of a file
    for i in range(len(cells)):
        below = [row[i] for row in sample if row[i].strip()]
        if below and all(number(cell) is not None for cell in below):
            return True
    return None
