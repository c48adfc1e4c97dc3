"""Ids and architectures that the catalogue knows cannot run: said before weights are read."""

from __future__ import annotations

import tomllib
from collections.abc import Container
from functools import lru_cache
from pathlib import Path

from headstart.errors import ModelError, ModelNotFound


def refuse(id: str, sources: Container[str]) -> None:
    """Raise for a known model that cannot run, or that must be converted first.

    `sources`: names of those that open ids. ModelError with the reason of the entry where its
    architecture does not run; ModelNotFound where it is published in a form that none of `sources`
    reads. Returns where the catalogue does not know the id. UsageError for a malformed catalogue.
    """
    from headstart.sources.catalogue.read import find

    entry = find(id)
    if entry is None:
        return
    if not entry.runs:
        raise ModelError(
            f"{id} ({entry.family}) cannot run in Headstart: {entry.why}. "
            "Others: headstart models --available"
        )
    if entry.source not in sources:
        note = f" ({entry.note})" if entry.note else ""
        raise ModelNotFound(
            f"{id} is no id that can be fetched; converted to a Hugging Face folder it runs: "
            f"--model PATH{note}."
        )


def refuse_architecture(kind: str, folder: Path) -> None:
    """Raise ModelError, with the reason, for a `model_type` of transformers that cannot run."""
    reason = _reasons().get(kind)
    if reason is not None:
        raise ModelError(
            f"{folder} ({kind}) cannot run in Headstart: {reason}. Choose another model."
        )


@lru_cache(maxsize=1)
def _reasons() -> dict[str, str]:
    """Return why, by model_type, of the package's own entries; unchecked, for that is quicker."""
    from headstart.sources.catalogue.read import HOME

    found: dict[str, str] = {}
    run = set()
    for path in sorted(HOME.glob("*.toml")):
        for model in tomllib.loads(path.read_text("utf-8"))["model"]:
            kind = model.get("build", {}).get("type", "")
            if model.get("runs", True):
                run.add(kind)
            else:
                found.setdefault(kind, model["why"])
    return {kind: why for kind, why in found.items() if kind and kind not in run}
