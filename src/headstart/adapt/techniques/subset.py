"""Training a small subset of the weights that are there: biases alone, or norms alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from headstart.adapt.parts import Part, moving_modules
from headstart.adapt.technique import Reshaped, Setting
from headstart.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class BitFit:
    """Move the biases of the backbone and the head only (Ben Zaken et al., ACL 2022)."""

    name = "bitfit"

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        names = [name for name, _ in module.named_parameters() if name.rpartition(".")[2] == "bias"]
        return _only(self.name, names, setting)


@dataclass(frozen=True, kw_only=True, slots=True)
class NormOnly:
    """Move the scales and shifts of the norms and the head only (Frankle et al., ICLR 2021)."""

    name = "norm-only"

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        return _only(self.name, list(_of_norms(module)), setting)


def _of_norms(module: nn.Module) -> Iterator[str]:
    for owner, part in module.named_modules():
        if "norm" in type(part).__name__.lower() and not any(True for _ in part.children()):
            for name, _ in part.named_parameters():
                yield f"{owner}.{name}"


def _only(name: str, parameters: list[str], setting: Setting) -> Reshaped:
    stages = [stage for stage in setting.backbone.stages if setting.may_move(stage.name)]
    inside = {parameter for stage in stages for parameter in stage.parameters}
    parameters = [one for one in parameters if one.replace(".base_layer.", ".") in inside]
    if not parameters:
        raise UsageError(
            f"{setting.backbone.card.id} has no parameters that {name!r} could train; leave it out."
        )
    modules = moving_modules(setting.backbone, parameters)
    return Reshaped(parts={name: Part(tuple(parameters), modules)}, instead=True)
