"""What every source of pretrained models can do. A new one is a file here and a line in BUILTIN."""

from __future__ import annotations

from typing import Protocol

from headstart.sources.backbone import Backbone, BackboneCard


class Source(Protocol):
    """A place that pretrained models come from. Stateless; one instance each in BUILTIN."""

    @property
    def name(self) -> str:
        """One word: the part of a model id before the colon."""

    def list(self) -> list[BackboneCard]:
        """Return the models that are here now; cheap: neither torch nor the network is needed."""

    def claims(self, id: str) -> bool:
        """Whether `id` is written the way that ids of this source are, its prefix included."""

    def load(self, id: str, *, allow_pickle: bool = False) -> Backbone:
        """Open the model. Raises ModelError, or one of its kinds, for everything that fails."""
