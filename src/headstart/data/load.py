"""Open a person's data, whatever it is: read, judge, survey, split, and seal the test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Dataset, Item
from headstart.data.infer import encode, infer_form, known_form, labels_of
from headstart.data.inputs import open_inputs
from headstart.data.parts import (
    Opened,
    divided,
    first_reason,
    in_words,
    labelled,
    nothing_lost,
    quarantine_words,
    sealed,
    surveyed,
    target_name,
    with_test_part,
)
from headstart.data.raw import ALL, TABLE_SUFFIXES, Examples, Options, Quarantined, Raw, suffix
from headstart.data.task import TASKS, Task
from headstart.errors import DataError, UsageError
from headstart.plugins import named

__all__ = ["Opened", "Quarantined", "open_dataset", "open_inputs", "open_labelled"]


def open_dataset(
    data: Any,
    *,
    input: str | None = None,
    target: Any = None,
    test: Any = None,
    group: Any = None,
    task: str | None = None,
    modality: str | None = None,
    encoding: str = "utf-8",
    root: Path | str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Opened:
    """Open `data`: a path (folder, table, .npz) or Python objects.

    `input`, `target`, `group` name columns (`target` "a,b,c": several 0/1 columns); `target` and
    `group` may also be the values themselves. `test`: other data that becomes the sealed test
    part. `root`: the folder that paths in a table are relative to. Raises DataError or
    TooFewExamples, in one line that names the next step.
    """
    options, targets, groups = _options(input, target, group, modality, encoding, root)
    if task is not None:
        named("task", TASKS, task)
    raw = gather(data, options, targets, groups)
    if test is not None:
        raw = _with_test(raw, test, options)
    said = list(raw.said)
    raw = replace(raw, parts=with_test_part(raw.parts, said))
    leader = ALL if ALL in raw.parts else "train"
    form = infer_form(raw.parts[leader].cells, raw.target, task)
    said.append(f"Task: {form.kind} ({form.why}).")
    parsed, unlabelled = labelled(raw, form, said)
    name = target_name(raw.target)
    labels_of(form, parsed[leader][1], name)  # one class only: say so before the long pass
    quarantine = list(raw.quarantine)
    parts = surveyed(raw, parsed, quarantine, progress or silent)
    if quarantine:
        said.append(quarantine_words(quarantine))
    nothing_lost(form, parsed, parts, quarantine)
    labels = labels_of(form, parts[leader].values, name)
    arrays = {
        part: encode(form, labels, found.values, in_words(part)) for part, found in parts.items()
    }
    if "test" not in parts:
        parts, arrays = divided(parts[leader], arrays[leader], labels, seed, said)
    return sealed(raw, Task.of(form.kind, labels), parts, arrays, said, quarantine, unlabelled)


def open_labelled(
    data: Any,
    task: Task,
    modality: str,
    *,
    input: str | None = None,
    target: Any = None,
    group: Any = None,
    encoding: str = "utf-8",
    root: Path | str | None = None,
    progress: Progress | None = None,
) -> tuple[Dataset, list[Quarantined], list[str]]:
    """Open data to evaluate a finished model on: (dataset, quarantine, what was said).

    The test part is used where the data has one, else everything. Raises DataError for labels
    that the task does not know, naming them.
    """
    options, targets, groups = _options(input, target, group, modality, encoding, root)
    options = replace(options, labels=task.labels)
    raw = gather(data, options, targets, groups)
    said = list(raw.said)
    raw = _one_part(raw, said)
    form = known_form(raw.parts[ALL].cells, task, raw.target)
    parsed, _ = labelled(raw, form, said)
    quarantine = list(raw.quarantine)
    part = surveyed(raw, parsed, quarantine, progress or silent)[ALL]
    if quarantine:
        said.append(quarantine_words(quarantine))
    if not len(part.inputs):
        raise DataError(
            f"{raw.source}: no labelled example can be read. {first_reason(quarantine)}"
        )
    numbers = encode(form, task.labels, part.values, "given")
    return Dataset(raw.name, part.inputs, numbers, task, part.groups), quarantine, said


def gather(data: Any, options: Options, targets: Any = None, groups: Any = None) -> Raw:
    """Read data of any form, unjudged. Raises DataError."""
    if not isinstance(data, (str, Path)):
        from headstart.data.objects import read_objects

        return read_objects(data, options, targets, groups)
    if targets is not None or groups is not None:
        raise UsageError("With a path, target= and group= must name columns.")
    path = Path(data).expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist. Give a folder, a table or an .npz file.")
    if path.is_dir():
        from headstart.data.folder import read_folder

        return read_folder(path, options)
    return _read_file(path, options)


def _read_file(path: Path, options: Options) -> Raw:
    from headstart.data.folder import numbered
    from headstart.data.objects import read_npz
    from headstart.data.rows import Place, from_tables
    from headstart.data.table import read_table

    if suffix(path.name) == ".npz":
        return read_npz(path, options)
    if suffix(path.name) not in TABLE_SUFFIXES:
        raise DataError(
            f"{path} is no data set: expected a folder, a table "
            f"({', '.join(sorted(TABLE_SUFFIXES))}) or an .npz file."
        )
    table = read_table(path, options.encoding, numbered=numbered(options))
    base = options.root or path.parent
    places = {ALL: Place(base, base)}
    return from_tables(path.stem, str(path), {ALL: table}, places, options)


def _options(
    input: str | None,
    target: Any,
    group: Any,
    modality: str | None,
    encoding: str,
    root: Path | str | None,
) -> tuple[Options, Any, Any]:
    """Return (options, target values, group values): names go into the options."""
    base = Path(root).expanduser() if root is not None else None
    if base is not None and not base.is_dir():
        raise UsageError(f"--root {base} is no folder.")
    if modality is not None:
        from headstart.data.modality import modality as known

        known(modality)
    column = str(target) if isinstance(target, (str, int)) else None
    grouped = str(group) if isinstance(group, (str, int)) else None
    options = Options(
        None if input is None else str(input), column, grouped, modality, encoding, base
    )
    return options, target if column is None else None, group if grouped is None else None


def _with_test(raw: Raw, test: Any, options: Options) -> Raw:
    """Add other data, whole or its own test part, as the test part."""
    said: list[str] = []
    options = replace(options, modality=raw.modality)
    other = _one_part(_like(raw, test, options), said)
    parts = dict(raw.parts)
    if "test" in parts:
        said.append("The data's own test part is left out, because other test data was given.")
    if ALL in parts:
        parts["train"] = parts.pop(ALL)
    parts["test"] = other.parts[ALL]
    lines = [*raw.said, f"Test: {other.source}.", *other.said, *said]
    return replace(raw, parts=parts, said=lines, quarantine=[*raw.quarantine, *other.quarantine])


def _like(raw: Raw, test: Any, options: Options) -> Raw:
    """Read test data by the columns that training used, where it has them."""
    from headstart.data.objects import has_columns

    if not isinstance(test, (str, Path)) and not has_columns(test):
        return gather(test, replace(options, input=None, target=None, group=None))
    if raw.input is None:
        return gather(test, options)
    try:
        return gather(test, replace(options, input=raw.input, target=raw.target))
    except UsageError:
        return gather(test, options)


def _one_part(raw: Raw, said: list[str]) -> Raw:
    """Return the test part of data that has one, else all of it, as one part."""
    if "test" in raw.parts:
        said.append(f"{raw.source} has parts of its own; its test part is used.")
        return replace(raw, parts={ALL: raw.parts["test"]})
    held = list(raw.parts.values())
    if len(held) == 1:
        return replace(raw, parts={ALL: held[0]})
    said.append(f"{raw.source} has no test part; all of it is used.")
    groups = None
    if all(part.groups is not None for part in held):
        groups = [group for part in held for group in part.groups or []]
    items: list[Item] = [item for part in held for item in part.items]
    cells = [cell for part in held for cell in part.cells]
    joined = Examples(items, [name for part in held for name in part.ids], cells, groups)
    return replace(raw, parts={ALL: joined})
