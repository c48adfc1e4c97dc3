"""What the names in a phase mean: the head, a stage, or the parameters of a technique."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from headstart.errors import UsageError
from headstart.sources.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Part:
    """Names of parameters, and of the modules that train with them (dropout, batch norm)."""

    parameters: tuple[str, ...]
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """Names a person or a schedule uses -> names in the model {"backbone", "head"}."""

    found: Mapping[str, Part] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.ModuleDict, backbone: Backbone, more: Mapping[str, Part] = {}) -> Parts:
        """Return the head, every stage, and `more` (whose names lack the "backbone." in front)."""
        stages = {stage.name: Part(stage.parameters, stage.modules) for stage in backbone.stages}
        named = {
            name: Part(_inside("backbone", part.parameters), _inside("backbone", part.modules))
            for name, part in (stages | dict(more)).items()
        }
        head = tuple(f"head.{name}" for name, _ in model["head"].named_parameters())
        return cls(named | {"head": Part(head, ("head",))})

    def parameters(self, part: str) -> tuple[str, ...]:
        return self._found(part).parameters

    def modules(self, part: str) -> tuple[str, ...]:
        return self._found(part).modules

    def _found(self, part: str) -> Part:
        if part not in self.found:
            raise UsageError(f"The model has no part {part!r}; there are {', '.join(self.found)}.")
        return self.found[part]


def _inside(owner: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{owner}.{name}" for name in names)
