"""Noise inside the model: dropout before the head and inside, and residual branches left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from headstart.adapt.technique import Reshaped, Setting
from headstart.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropout:
    """Set the probability of all dropout that the backbone has (Srivastava et al., JMLR 2014).

    `p` in [0, 1). Raises UsageError for a backbone that has no dropout.
    """

    p: float = 0.1
    name = "dropout"

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p must be in [0, 1), got {self.p}.")

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        layers = [part for part in module.modules() if isinstance(part, nn.Dropout)]
        if not layers:
            raise UsageError(
                f"{setting.backbone.card.id} has no dropout to set; leave 'dropout' out, or take "
                "'mixup', 'smoothing' or an augmentation against overfitting."
            )
        for layer in layers:
            layer.p = self.p
        return Reshaped(facts={"dropout_layers": len(layers)})


@dataclass(frozen=True, kw_only=True, slots=True)
class DropPath:
    """Stochastic depth, rising linearly over the blocks to `p` (Huang et al., ECCV 2016).

    For backbones that have it (ConvNeXt, Swin, BEiT, …), found by the names of their layers. Raises
    UsageError for others.
    """

    p: float = 0.1
    name = "drop-path"

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p must be in [0, 1), got {self.p}.")

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        layers = [name for name, part in module.named_modules() if "droppath" in _kind(part)]
        places = [name for name, part in module.named_modules() if _waits_for_path(name, part)]
        names = layers or places
        if not names:
            raise UsageError(
                f"{setting.backbone.card.id} has no stochastic depth; leave 'drop-path' out, or "
                "take 'dropout'."
            )
        for at, name in enumerate(names):
            share = self.p * (at / (len(names) - 1) if len(names) > 1 else 1.0)
            _set(module, name, share)
        return Reshaped(facts={"drop_path_layers": len(names)})


def _kind(part: nn.Module) -> str:
    return type(part).__name__.lower()


def _waits_for_path(name: str, part: nn.Module) -> bool:
    """Models built with a rate of zero hold an Identity where the layer would be."""
    return isinstance(part, nn.Identity) and name.rpartition(".")[2] in ("drop_path", "droppath")


def _set(module: nn.Module, name: str, share: float) -> None:
    part: Any = module.get_submodule(name)
    if hasattr(part, "drop_prob"):
        part.drop_prob = share
        return
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, Path(share))


class Path(nn.Module):
    """Leave a residual branch out for some examples; the others are scaled up to make up for it."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, value):  # type: ignore[no-untyped-def]
        if not self.training or not self.drop_prob:
            return value
        shape = (len(value), *[1] * (value.ndim - 1))
        kept = value.new_empty(shape).bernoulli_(1 - self.drop_prob)
        return value * kept / (1 - self.drop_prob)
