"""Models that were never trained: `random:ID` is the architecture of ID with random weights.

What pretraining is worth shows beside them: in a ranking they belong at the bottom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from headstart.errors import ModelNotFound
from headstart.sources.backbone import Backbone, BackboneCard

PREFIX = "random:"
NOTE = "random weights"
SEED = 0  # of the weights: one id always means the same model


@dataclass(frozen=True, slots=True)
class Random:
    """Architectures of all other sources; it lists none, since each of theirs has one."""

    name: str = "random"

    def list(self) -> list[BackboneCard]:
        return []

    def claims(self, id: str) -> bool:
        return id.startswith(PREFIX)

    def load(self, id: str, *, allow_pickle: bool = False) -> Backbone:
        """Open the model that stands behind the colon, and draw its weights anew."""
        from headstart.sources import load
        from headstart.sources.catalogue.match import blank

        origin = id.removeprefix(PREFIX)
        if not origin or origin.startswith(PREFIX):
            raise ModelNotFound(f"{id!r} names no model; expected random:ID, with the id of one.")
        fresh: Any = load(origin, allow_pickle=allow_pickle).reinitialised(SEED)
        card = replace(blank(fresh.card), id=id, source=self.name, note=NOTE)
        return replace(fresh, card=card)  # type: ignore[no-any-return]


RANDOM = Random()
