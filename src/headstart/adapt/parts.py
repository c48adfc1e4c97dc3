"""What the names in a phase mean: the head, a stage, or the parameters of a technique."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from headstart.adapt.boundary import first_stage
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Part:
    """Names of parameters, and of the modules that train with them (dropout, batch norm).

    `decay`: whether weight decay may pull them towards zero.
    """

    parameters: tuple[str, ...]
    modules: tuple[str, ...] = ()
    decay: bool = True


@dataclass(frozen=True, slots=True)
class Parts:
    """Names a person or a schedule uses -> names in the model {"backbone", "head"}."""

    found: Mapping[str, Part] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.ModuleDict, backbone: Backbone, more: Mapping[str, Part] = {}) -> Parts:
        """Return the head, every stage, and `more` (whose names lack the "backbone." in front)."""
        stages = {stage.name: Part(stage.parameters, stage.modules) for stage in backbone.stages}
        there = {name for name, _ in model["backbone"].named_parameters()}
        named = {
            name: Part(
                _inside("backbone", [_now(own, there) for own in part.parameters]),
                _inside("backbone", part.modules),
                part.decay,
            )
            for name, part in (stages | dict(more)).items()
        }
        head = tuple(f"head.{name}" for name, _ in model["head"].named_parameters())
        return cls(named | {"head": Part(head, ("head",))})

    def parameters(self, part: str) -> tuple[str, ...]:
        return self._found(part).parameters

    def in_backbone(self, parts: Iterable[str]) -> list[str]:
        """Return the parameters of `parts` that are the backbone's, as its module calls them."""
        names = [name for part in parts for name in self.parameters(part)]
        return [name.removeprefix("backbone.") for name in names if name.startswith("backbone.")]

    def modules(self, part: str) -> tuple[str, ...]:
        return self._found(part).modules

    def decays(self, part: str) -> bool:
        return self._found(part).decay

    def _found(self, part: str) -> Part:
        if part not in self.found:
            raise UsageError(f"The model has no part {part!r}; there are {', '.join(self.found)}.")
        return self.found[part]


def moving_modules(backbone: Backbone, parameters: Sequence[str]) -> tuple[str, ...]:
    """Return the modules that train where these parameters move: of all stages from theirs on.

    As if the stages themselves moved: their dropout is on, their batch norm follows the phase.
    """
    stages = backbone.stages[first_stage(backbone, parameters) :]
    return tuple(name for stage in stages for name in stage.modules)


def _now(name: str, there: set[str]) -> str:
    """Return what a parameter is called beside an adapter, which wraps its layer."""
    owner, _, last = name.rpartition(".")
    wrapped = f"{owner}.base_layer.{last}"
    return wrapped if name not in there and wrapped in there else name


def _inside(owner: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{owner}.{name}" for name in names)
