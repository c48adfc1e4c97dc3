"""Where pretrained models come from. A new source is a file here and a line in BUILTIN."""

from __future__ import annotations

from pathlib import Path

from headstart.errors import ModelNotFound
from headstart.plugins import registry
from headstart.sources.backbone import Backbone, BackboneCard, Batch, Stage
from headstart.sources.base import Source
from headstart.sources.local import LOCAL, exists, path_of
from headstart.sources.onnx import ONNX
from headstart.sources.random import RANDOM
from headstart.sources.starter import STARTER, STARTERS
from headstart.sources.transformers import HUB

# In the order in which they are asked whether an id is theirs: what exists here goes first.
BUILTIN: tuple[Source, ...] = (STARTER, RANDOM, ONNX, LOCAL, HUB)


def load(id: str, *, allow_pickle: bool = False) -> Backbone:
    """Open the model that `id` names; see `source_of` for the ways to write an id.

    Raises ModelNotFound, UnsafeWeights, ModelError or MissingExtra.
    """
    return source_of(id).load(id, allow_pickle=allow_pickle)


def source_of(id: str) -> Source:
    """Return the source that `id` belongs to.

    `starter:…`, `local:PATH`, `onnx:PATH`, `hf:org/name` and `random:ID` say it. Otherwise a path
    to an ONNX file or folder, then any path that exists, then a string that can only be a path,
    then `org/name` on the hub. Raises ModelNotFound, or ModelError for a model of the catalogue
    that cannot run: before it is fetched, and before data is read.
    """
    sources = registry("sources", BUILTIN)
    prefix = id.partition(":")[0]
    if not _is_near(id):
        from headstart.sources.catalogue.refuse import refuse

        refuse(id, sources)
    if ":" in id and prefix in sources:
        return sources[prefix]
    for source in sources.values():
        if source.claims(id):
            return _checked(source, id)
    starters = [f"starter:{starter.name}" for starter in STARTERS]
    meant = next((name for name in starters if name.endswith(f":{id}")), None) or _known(id)
    hint = f"Did you mean {meant}?" if meant else f"Starters: {', '.join(starters)}."
    raise ModelNotFound(
        f"There is no model {id!r}: it is no folder here, and no hub id (org/name). {hint}"
    )


def _is_near(id: str) -> bool:
    """Whether the id names files of this machine, or another id, which is asked for in turn."""
    near = tuple(f"{source.name}:" for source in (STARTER, RANDOM, ONNX, LOCAL))
    return id.startswith(near) or exists(id)


def _known(id: str) -> str | None:
    """Return the full id of a model that the catalogue knows by a short one."""
    from headstart.sources.catalogue.read import find

    entry = find(id)
    return None if entry is None else entry.id


def _checked(source: Source, id: str) -> Source:
    if source is LOCAL and not exists(id):
        raise ModelNotFound(
            f"There is no model {id!r}: the folder {path_of(id)} does not exist, and it is no hub "
            "id either (org/name). Check the path."
        )
    return source


def reopen(folder: Path, *, id: str) -> Backbone:
    """Open a folder that `Backbone.save` wrote, under the id that the model had."""
    from headstart.sources.onnx import find_file, is_graph_folder

    if is_graph_folder(folder):
        from headstart.sources.graphs.frozen import open_graph

        return open_graph(find_file(folder), id=id, source="run")
    from headstart.sources.folder import open_folder

    return open_folder(folder, id=id, source="run")


def cards() -> list[BackboneCard]:
    """Return what every source has here and now, without torch and without the network."""
    return [card for source in registry("sources", BUILTIN).values() for card in source.list()]


def default_for(modality: str) -> str | None:
    """Return the id of the starter for that modality; None where none is installed."""
    for card in STARTER.list():
        if card.modality == modality and card.available:
            return card.id
    return None


__all__ = [
    "BUILTIN",
    "Backbone",
    "BackboneCard",
    "Batch",
    "Source",
    "Stage",
    "cards",
    "default_for",
    "load",
    "reopen",
    "source_of",
]
