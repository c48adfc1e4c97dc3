"""Ids of the catalogue that cannot be opened: said before anything is fetched or read."""

from __future__ import annotations

from collections.abc import Container

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
