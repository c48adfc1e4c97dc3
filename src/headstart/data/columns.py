"""Which column is the input, which the target: by name, then by content, always said aloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.data.raw import (
    SPLIT_NAMES,
    Options,
    media_suffix,
    missing,
    number,
    some,
    suffix_kinds,
)
from headstart.data.table import Table
from headstart.errors import DataError, UsageError

# Usual names, the surest ones first; a name in an earlier tuple wins over one in a later tuple.
PATH_NAMES: tuple[tuple[str, ...], ...] = (
    ("path", "file", "filename", "filepath", "image", "audio", "image path", "audio path"),
    ("image file", "audio file", "img", "img path", "photo", "picture", "wav", "clip", "recording",
     "fname", "slice file name", "file name", "file path", "image name", "audio name"),
)  # fmt: skip
TEXT_NAMES: tuple[tuple[str, ...], ...] = (
    ("text", "sentence", "review", "question", "comment", "tweet", "utterance", "message", "sms"),
    ("content", "body", "document", "review text", "comment text", "query", "statement", "post"),
    ("title", "headline", "description", "abstract", "summary", "input", "inputs", "x"),
)
TARGET_NAMES: tuple[tuple[str, ...], ...] = (
    ("label", "labels", "target", "targets", "class", "classes"),
    ("category", "categories", "sentiment", "emotion", "emotions", "intent", "topic", "topics",
     "genre", "species", "breed", "digit", "tag", "tags", "y", "class name", "class label",
     "label name", "label text", "class id", "classid", "class index", "label id"),
    ("score", "rating", "stars", "price", "value", "age", "output", "polarity", "answer"),
)  # fmt: skip
SPLIT_COLUMNS = frozenset({"split", "subset", "partition", "set", "fold"})
KNOWN_NAMES = (
    frozenset(name for names in (*PATH_NAMES, *TEXT_NAMES, *TARGET_NAMES) for name in names)
    | SPLIT_COLUMNS
    | {"id", "group", "index", "name"}
)
SAMPLE = 1000  # rows that are looked at to judge a column
MOST_CLASSES = 100  # a column with more values than this is no target by content alone


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns that matter. `paths`: the input names files, of modality `modality`."""

    input: str
    modality: str
    paths: bool
    targets: tuple[str, ...]
    split: str | None
    group: str | None
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sample of a column's cells looks like; shares are of the filled cells."""

    kinds: dict[str, float]  # modality to the share of cells that end like its files
    numeric: float
    texts: float
    length: float  # mean characters of text cells
    distinct: int
    filled: int


def plain_name(name: str) -> str:
    """Return a column name for comparison: "Image_Path" and "image-path" are "image path"."""
    return " ".join(name.strip().lower().replace("_", " ").replace("-", " ").split())


def profile(cells: Sequence[Any], kinds: dict[str, str]) -> Profile:
    """Look at up to SAMPLE cells, evenly spread."""
    step = max(1, len(cells) // SAMPLE)
    sample = [cell for cell in cells[::step] if not missing(cell)]
    filled = max(1, len(sample))
    endings = [media_suffix(cell, kinds) for cell in sample]
    texts = [cell for cell in sample if isinstance(cell, str)]
    return Profile(
        kinds={k: endings.count(k) / filled for k in set(kinds.values()) if k in endings},
        numeric=sum(number(cell) is not None for cell in sample) / filled,
        texts=len(texts) / filled,
        length=sum(map(len, texts)) / max(1, len(texts)),
        distinct=len({str(cell) for cell in sample}),
        filled=len(sample),
    )


def find_roles(table: Table, options: Options, *, need_target: bool = True) -> Roles:
    """Find the columns of input, target, split and group.

    Raises DataError where the table leaves it open, listing the columns; UsageError for a named
    column that is not there.
    """
    said: list[str] = []
    kinds = suffix_kinds()
    profiles = {name: profile(cells, kinds) for name, cells in table.columns.items()}
    split = _split_column(table)
    group = column_named(table, options.group, "--group") if options.group is not None else None
    targets = _given_targets(table, options)
    taken = {name for name in (split, group, *targets) if name}
    if not table.header and (options.input is None or (need_target and not targets)):
        raise _no_header(table, profiles)
    if options.input is not None:
        chosen = column_named(table, options.input, "--input")
        why = "as asked"
    else:
        chosen, why = _find_input(table, profiles, taken, options.modality)
    kind, paths = _kind(profiles[chosen], chosen, options.modality)
    said.append(f"Input: column {chosen!r} of {table.where}, {_noun(kind, paths)} ({why}).")
    if need_target and targets:
        said.append(f"Target: {_called(targets)} of {table.where} (as asked).")
    elif need_target:
        targets, why = _find_target(table, profiles, {*taken, chosen})
        said.append(f"Target: {_called(targets)} of {table.where} ({why}).")
    if chosen in targets:
        raise UsageError(f"Column {chosen!r} cannot be both --input and --target.")
    if split:
        said.append(f"Split: column {split!r} of {table.where}.")
    return Roles(chosen, kind, paths, targets, split, group, tuple(said))


def column_named(table: Table, name: str, option: str) -> str:
    """Return the column of that name, or of that number from 0. Raises UsageError."""
    if name in table.columns:
        return name
    names = list(table.columns)
    if name.isdecimal() and int(name) < len(names):
        return names[int(name)]
    folded = [n for n in names if plain_name(n) == plain_name(name)]
    if len(folded) == 1:
        return folded[0]
    if not table.header:
        first = some([repr(str(cells[0])[:30]) for cells in table.columns.values()])
        raise UsageError(
            f"{table.where} has no header line (it begins with {first}), so it has no column "
            f"{name!r}. Give {option} as a number from 0 to {len(names) - 1}."
        )
    raise UsageError(f"{table.where} has no column {name!r} for {option}; it has: {_list(names)}.")


def _given_targets(table: Table, options: Options) -> tuple[str, ...]:
    given = options.target
    if given is None:
        known = options.labels  # several columns, one a label, of a finished model
        return known if len(known) > 1 and all(name in table.columns for name in known) else ()
    if isinstance(given, tuple):
        return tuple(column_named(table, name, "--target") for name in given)
    if given in table.columns or "," not in given:
        return (column_named(table, given, "--target"),)
    return tuple(column_named(table, name.strip(), "--target") for name in given.split(","))


def _split_column(table: Table) -> str | None:
    """Return the column that names a split in every row, if there is one."""
    for name, cells in table.columns.items():
        if plain_name(name) in SPLIT_COLUMNS:
            values = {str(cell).strip().lower() for cell in cells if not missing(cell)}
            if values and values <= SPLIT_NAMES.keys():
                return name
    return None


def _by_name(names: Sequence[str], tiers: tuple[tuple[str, ...], ...]) -> list[str]:
    """Return the columns whose names stand in the first tier that matches any."""
    for tier in tiers:
        found = [name for name in names if plain_name(name) in tier]
        if found:
            return found
    return []


def _is_named(name: str, tiers: tuple[tuple[str, ...], ...]) -> bool:
    return any(plain_name(name) in tier for tier in tiers)


def _find_input(
    table: Table, profiles: dict[str, Profile], taken: set[str], modality: str | None
) -> tuple[str, str]:
    names = [n for n in table.columns if n not in taken and profiles[n].filled]
    paths = [n for n in names if _media(profiles[n]) and modality != "text"]
    if paths:
        best = _by_name(paths, PATH_NAMES) or paths
        if len(best) == 1:
            return best[0], "by its file endings"
        raise _open(table, "--input", f"the columns {_list(best)} all name files")
    if modality in (None, "text"):
        texts = [n for n in names if profiles[n].texts > 0.5 and profiles[n].numeric < 0.9]
        best = _by_name(texts, TEXT_NAMES)
        if len(best) == 1:
            return best[0], "by its name"
        if len(best) > 1:
            raise _open(table, "--input", f"the columns {_list(best)} all look like texts")
        # Neither the names of classes, nor file names that lack their ending.
        texts = [n for n in texts if not _is_named(n, (*TARGET_NAMES, *PATH_NAMES))]
        texts = [n for n in texts if 2 * profiles[n].distinct >= profiles[n].filled]
        texts.sort(key=lambda n: -profiles[n].length)
        if len(texts) == 1 or (
            len(texts) > 1 and profiles[texts[0]].length >= 2 * profiles[texts[1]].length
        ):
            return texts[0], "it holds the longest texts"
    why = "none holds texts, or paths that end like image or audio files (.jpg, .wav, …)"
    raise _open(table, "--input", why)


def _find_target(
    table: Table, profiles: dict[str, Profile], taken: set[str]
) -> tuple[tuple[str, ...], str]:
    names = [n for n in table.columns if n not in taken and profiles[n].filled]
    if not names:
        raise DataError(
            f"{table.where} has no column left for the target; it has: {_list(table.columns)}. "
            "Add the labels, or name their column with --target."
        )
    found = _by_name(names, TARGET_NAMES)
    if len(found) > 1 and _one_to_one(table, found):
        found = [n for n in found if profiles[n].numeric < 0.9][:1] or found[:1]
        return (found[0],), "by its name; the other label columns say the same"
    if len(found) == 1:
        return (found[0],), "by its name"
    if found:
        raise _open(table, "--target", f"the columns {_list(found)} all look like labels")
    if len(names) == 1:
        return (names[0],), "the only column left"
    few = [n for n in names if profiles[n].distinct <= min(MOST_CLASSES, profiles[n].filled // 2)]
    if len(few) == 1:
        return (few[0],), "the only column left with few different values"
    if few and few[-1] == names[-1] and not all(profiles[n].numeric == 1 for n in few):
        return (few[-1],), "the last column, with few different values"
    raise _open(table, "--target", f"any of {_list(names)} could be it")


def _one_to_one(table: Table, names: list[str]) -> bool:
    """Tell whether the columns name the same classes, each in its own words."""
    columns = [table.columns[name] for name in names]
    rows = {tuple(str(cell) for cell in row) for row in zip(*columns, strict=True)}
    return all(len({str(cell) for cell in column}) == len(rows) for column in columns)


def _media(seen: Profile) -> str | None:
    """Return the modality whose files a column names, if most cells do."""
    if not seen.kinds or sum(seen.kinds.values()) < 0.5:
        return None
    return max(sorted(seen.kinds), key=lambda kind: seen.kinds[kind])


def _kind(seen: Profile, name: str, modality: str | None) -> tuple[str, bool]:
    """Return (modality, whether the cells are paths) of the input column."""
    found = _media(seen)
    if modality is not None and modality != "text":
        return modality, True
    if modality == "text":
        return "text", found == "text"
    if found is not None:
        return found, True
    if seen.texts < 0.5:
        raise DataError(
            f"Column {name!r} holds neither texts nor paths to images or audio. "
            "Name another column with --input."
        )
    return "text", False


def _open(table: Table, option: str, why: str) -> DataError:
    role = "input" if option == "--input" else "target"
    return DataError(
        f"{table.where}: it is open which column is the {role}: {why}. "
        f"Columns: {_list(table.columns)}. Name one with {option}."
    )


def _no_header(table: Table, profiles: dict[str, Profile]) -> DataError:
    first = some([repr(str(cells[0])[:30]) for cells in table.columns.values()])
    names = list(table.columns)
    longest = max(names, key=lambda n: (_media(profiles[n]) is not None, profiles[n].length))
    others = [n for n in names if n != longest]
    label = min(others, key=lambda n: profiles[n].distinct, default=longest)
    return DataError(
        f"{table.where} has no header line: it begins with {first}. Name the columns by number, "
        f"counted from 0, e.g. --input {longest} --target {label}."
    )


def _list(names: Sequence[str] | dict[str, Any]) -> str:
    return some([repr(name) for name in names], limit=12)


def _called(targets: tuple[str, ...]) -> str:
    return f"column {targets[0]!r}" if len(targets) == 1 else f"columns {_list(targets)}"


def _noun(kind: str, paths: bool) -> str:
    return f"paths to {kind} files" if paths else "texts"
