"""What stands in a folder, and which of it may be an example at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.data.raw import count, natural, some, suffix, suffix_kinds
from headstart.errors import DataError

NO_EXAMPLE_FOLDERS = frozenset({"__macosx", "__pycache__", "@eadir"})
NO_EXAMPLE_STEMS = ("readme", "license", "licence", "copying", "changelog", "citation", "notice")
NO_EXAMPLE_FILES = frozenset({"notes.txt", "thumbs.db", "desktop.ini", "requirements.txt"})
EXPECTED = (
    "Expected one sub-folder a class, or a labels.csv that names files, or a table of texts "
    "(CSV, TSV, JSONL, Parquet)."
)


@dataclass(frozen=True, slots=True)
class Listing:
    """What stands directly in a folder, in natural order. `hidden`: files such as .DS_Store."""

    folder: Path
    folders: list[Path]
    files: list[Path]
    hidden: list[Path]


def listing(folder: Path) -> Listing:
    """List a folder. Raises DataError where that is not allowed."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: natural(entry.name))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror or error}.") from None
    shown = [entry for entry in entries if not entry.name.startswith(".")]
    folders = [e for e in shown if e.is_dir() and e.name.lower() not in NO_EXAMPLE_FOLDERS]
    files = [entry for entry in shown if entry.is_file()]
    hidden = [entry for entry in entries if entry.name.startswith(".") and entry.is_file()]
    return Listing(folder, folders, files, hidden)


def no_example(path: Path) -> bool:
    """Tell by its name that a file is about the data, and no part of it."""
    name = path.name.lower()
    return name.startswith((".", *NO_EXAMPLE_STEMS)) or name in NO_EXAMPLE_FILES


def walk(folder: Path, seen: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield the files below a folder, but none in hidden folders; no link leads in circles."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    held = listing(folder)
    yield from held.files
    yield from held.hidden
    for below in held.folders:
        yield from walk(below, seen | {real})


def kind_of(path: Path, kinds: dict[str, str], modality: str | None) -> str | None:
    """Return the modality of a file by its name; None where it is no example (of that kind)."""
    kind = None if no_example(path) else kinds.get(suffix(path.name))
    return kind if modality is None or kind == modality else None


def has_examples(folder: Path, modality: str | None) -> bool:
    """Tell whether any file below a folder may be an example."""
    kinds = suffix_kinds()
    return any(kind_of(path, kinds, modality) is not None for path in walk(folder))


def passed_over(names: list[str]) -> list[str]:
    """Say which files were passed over: one sentence, or none."""
    if not names:
        return []
    verb = "is no example" if len(names) == 1 else "are no examples"
    return [f"Passed over {count(len(names), 'file')} that {verb}: {some(names)}."]
