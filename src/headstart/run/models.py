"""The models of a run: those that were named, or the starter of the modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headstart.errors import UsageError
from headstart.sources import default_for, load
from headstart.sources.backbone import Backbone


def opened(
    ids: Sequence[str], modality: str, *, allow_pickle: bool, say: Callable[[str], None]
) -> list[Backbone]:
    """Load models by id, each once; [] where none is named and the package has none.

    Raises UsageError for a model of another modality, ModelError for one that cannot be loaded.
    """
    if not ids:
        starter = default_for(modality)
        if starter is None:
            return []
        say(f"Model: {starter}, the starter for {modality}; name others with --model.")
        ids = [starter]
    found = [load(id, allow_pickle=allow_pickle) for id in dict.fromkeys(ids)]
    for backbone in found:
        if backbone.card.modality != modality:
            raise UsageError(
                f"{backbone.card.id} takes {backbone.card.modality}, the data is {modality}. "
                f"Name a model for {modality} with --model."
            )
    return found
