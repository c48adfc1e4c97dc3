"""Reading the catalogue: the files of the package, then a person's own."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from headstart.errors import UsageError
from headstart.sources.catalogue.entry import Entry

VARIABLE = "HEADSTART_CATALOGUE"  # files of one's own, apart as in PATH
HOME = Path(__file__).parent
HEAD = {"defaults", "model"}  # what may stand at the top of a file


def entries(files: Sequence[Path] = ()) -> tuple[Entry, ...]:
    """Return the entries of the package, of `files` and of $HEADSTART_CATALOGUE, in that order.

    Raises UsageError, which names file, entry and field, for a file that is malformed, an id that
    is given twice, or a set of labels that is not there.
    """
    found: dict[str, tuple[Entry, Path]] = {}
    paths = [*_own(), *(path.resolve() for path in (*files, *_from_environment()))]
    for path in dict.fromkeys(paths):
        for entry in _read(path):
            for id in (entry.id, *entry.also):
                if id in found:
                    raise UsageError(
                        f"{path}: {id} is in the catalogue already ({found[id][1]}); "
                        "choose another id, or remove one of the two."
                    )
                found[id] = entry, path
    return tuple({entry.id: entry for entry, _ in found.values()}.values())


def find(id: str, files: Sequence[Path] = ()) -> Entry | None:
    """Return the entry of a model id, older ids and ids without `hf:` included; None for none."""
    wanted = {id, f"hf:{id}"}
    return next((one for one in entries(files) if wanted & {one.id, *one.also}), None)


def placed(id: str, folder: Path) -> str:
    """Return an id of files (`local:`, `onnx:`) with its whole path, read from `folder`.

    Other ids stay as they are.
    """
    from headstart.sources.local import path_of
    from headstart.sources.onnx import split_id

    if id.startswith("local:"):
        return f"local:{(folder / path_of(id)).resolve()}"
    if id.startswith("onnx:"):
        place, output = split_id(id, folder)
        return f"onnx:{place.resolve()}" + (f"#{output}" if output else "")
    return id


def label_set(name: str, beside: Path | None = None) -> tuple[str, ...]:
    """Return the labels of a named set, in order of the outputs.

    One label a line in `labels/NAME.txt`: in the folder `beside`, else in the package. Raises
    UsageError that lists the sets there are.
    """
    for folder in filter(None, (beside, HOME)):
        path = folder / "labels" / f"{name}.txt"
        if path.parent == folder / "labels" and path.is_file():
            return tuple(path.read_text(encoding="utf-8").splitlines())
    known = sorted(path.stem for path in (HOME / "labels").glob("*.txt"))
    raise UsageError(
        f"There is no set of labels {name!r}; known: {', '.join(known)}. Put one label a line into "
        f"labels/{name}.txt beside the catalogue file."
    )


def _own() -> list[Path]:
    return sorted(HOME.glob("*.toml"))


def _from_environment() -> list[Path]:
    stated = os.environ.get(VARIABLE, "")
    return [Path(part).expanduser() for part in stated.split(os.pathsep) if part]


def _read(path: Path) -> tuple[Entry, ...]:
    try:
        status = path.stat()
        return _parse(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UsageError(
            f"The catalogue {path} cannot be read: {error.strerror}. Check --catalogue and "
            f"${VARIABLE}."
        ) from None


@lru_cache(maxsize=32)
def _parse(path: Path, changed: int, size: int) -> tuple[Entry, ...]:
    """Return the entries of one file; `changed` and `size` only tell the cache of its state."""
    try:
        with path.open("rb") as stream:
            content = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML file: {error}") from None
    models, defaults = content.get("model", []), content.get("defaults", {})
    if not set(content) <= HEAD or not isinstance(models, list) or not isinstance(defaults, dict):
        raise UsageError(
            f"{path}: expected [defaults] and [[model]] tables, got {', '.join(content)}."
        )
    modalities = _modalities()
    return tuple(_entry(path, i, defaults, raw, modalities) for i, raw in enumerate(models))


def _entry(
    path: Path, number: int, defaults: dict[str, Any], raw: Any, modalities: list[str]
) -> Entry:
    from pydantic import ValidationError

    if not isinstance(raw, dict):
        raise UsageError(f"{path}, model {number + 1}: expected a table [[model]], got {raw!r}.")
    place = f"{path}, model {number + 1} ({raw.get('id', 'without an id')})"
    try:
        entry = Entry.model_validate({**defaults, **raw})
    except ValidationError as error:
        raise UsageError(f"{place}: {'; '.join(_said(error))}.") from None
    if entry.modality not in modalities:
        raise UsageError(
            f"{place}: modality {entry.modality!r} is unknown; known: {', '.join(modalities)}."
        )
    if entry.labels:
        try:
            names = label_set(entry.labels, path.parent)
            entry = entry.model_copy(update={"label_names": names})
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None
    return entry.model_copy(update={"id": placed(entry.id, path.parent)})


def _said(error: Any) -> Iterator[str]:
    """Yield one clause a fault, the field first."""
    for fault in error.errors(include_url=False):
        field = ".".join(map(str, fault["loc"]))
        said = fault["msg"].removeprefix("Value error, ")
        given = "" if not field or fault["type"] == "missing" else f" (got {fault['input']!r})"
        yield f"{field}: {said}{given}" if field else said


def _modalities() -> list[str]:
    from headstart.data.modality import BUILTIN
    from headstart.plugins import registry

    return sorted(registry("modality", BUILTIN))
