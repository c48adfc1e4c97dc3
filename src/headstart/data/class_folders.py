"""Read folders whose sub-folders are the classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from headstart.data.listing import EXPECTED, Listing, kind_of, listing, passed_over, walk
from headstart.data.raw import ALL, Examples, Options, Raw, some, suffix_kinds
from headstart.data.rows import file_item
from headstart.errors import DataError, TooFewExamples

# Class name to every file below its folder.
Classes = dict[str, list[Path]]


def read_class_folders(
    folder: Path, parts: dict[str, Listing], top: Listing, options: Options
) -> Raw:
    """Read parts whose sub-folders are classes; every file below one, however deep, is of it.

    The commonest modality wins; other files are passed over and said so.
    """
    if options.group is not None:
        raise DataError(
            "--group names a column, and class folders have none. Describe the files in a "
            "labels.csv with a group column."
        )
    files: dict[str, Classes] = {
        part: {below.name: list(walk(below)) for below in held.folders}
        for part, held in parts.items()
    }
    modality = _commonest(folder, files, options.modality)
    said = [f"Input: {modality} files; target: the name of the folder that each lies in."]
    passed = _beside(folder, parts, top)
    examples: dict[str, Examples] = {}
    for part in (part for part in (ALL, "train", "validation", "test") if part in files):
        found = _part(folder, files[part], modality, options, said, passed)
        if len(found):
            examples[part] = found
        elif part == "test":
            said.append("The test folder has no class folders with examples: it is left out.")
        else:
            raise DataError(
                f"{parts[part].folder} holds no class folders with {modality} files. {EXPECTED}"
            )
    said.extend(passed_over(passed))
    leader = ALL if ALL in examples else "train"
    _one_class(parts[leader].folder, examples[leader])
    return Raw(folder.name, str(folder), modality, examples, "folder name", said)


def _commonest(folder: Path, files: dict[str, Classes], modality: str | None) -> str:
    kinds = suffix_kinds()
    every = (path for classes in files.values() for paths in classes.values() for path in paths)
    seen = Counter(kind for path in every if (kind := kind_of(path, kinds, modality)))
    if not seen:
        raise DataError(f"{folder} has no class folders with examples in them. {EXPECTED}")
    return min(seen, key=lambda kind: (-seen[kind], kind))


def _beside(folder: Path, parts: dict[str, Listing], top: Listing) -> list[str]:
    """Name what stands beside the classes and parts."""
    names = [path.name for path in [*top.files, *top.hidden]]
    if ALL not in parts:
        used = {held.folder for held in parts.values()}
        names += [f"{path.name}/" for path in top.folders if path not in used]
        names += [
            str(p.relative_to(folder))
            for held in parts.values()
            for p in [*held.files, *held.hidden]
        ]
    return names


def _part(
    folder: Path,
    classes: Classes,
    modality: str,
    options: Options,
    said: list[str],
    passed: list[str],
) -> Examples:
    kinds = suffix_kinds()
    kept: list[tuple[Path, str]] = []
    empty: list[str] = []
    for name, paths in classes.items():
        fitting = [path for path in paths if kind_of(path, kinds, modality)]
        chosen = set(fitting)
        passed += [str(path.relative_to(folder)) for path in paths if path not in chosen]
        kept += [(path, name) for path in fitting]
        if not fitting:
            empty.append(name)
    if empty and kept:
        said.append(f"Passed over folders without {modality} files: {some(empty)}.")
    items = [file_item(path, modality, options.encoding) for path, _ in kept]
    return Examples(items, [str(p.relative_to(folder)) for p, _ in kept], [n for _, n in kept])


def _one_class(folder: Path, examples: Examples) -> None:
    """Point one level down where the only class folder holds what looks like classes."""
    names = sorted(set(examples.cells))
    if len(names) > 1:
        return
    inside = folder / names[0]
    hint = " Put each class into a folder of its own, or name the files in a labels.csv."
    if len(listing(inside).folders) > 1:
        hint = f" If the folders in {inside} are the classes, point there."
    raise TooFewExamples(f"{folder} has one class only, {names[0]!r}; at least 2 are needed.{hint}")
