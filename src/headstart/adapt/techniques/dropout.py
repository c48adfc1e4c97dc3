"""Noise inside the model: dropout, and residual branches left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from headstart.adapt.technique import Reshaped, Setting
from headstart.errors import UsageError

FUNCTIONAL = ("dropout", "attention_dropout", "activation_dropout", "hidden_dropout")
SHARES = ("dropout", "dropout_p", "dropout_prob", "layerdrop")  # ends of the names of all of them


def handed_on(module: nn.Module, asked: Callable[[str], bool]) -> list[tuple[nn.Module, str]]:
    """Return (part, attribute) of the shares that a forward hands to a function, by name."""
    return [
        (part, name) for part in module.modules() for name, value in vars(part).items()
        if isinstance(value, float) and asked(name)
    ]  # fmt: skip


def without_dropout(module: nn.Module) -> None:
    """Switch dropout off: its layers, and the shares that a forward hands to functional dropout."""
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0
    for part, name in handed_on(module, lambda name: name.endswith(SHARES)):
        setattr(part, name, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropout:
    """Set the probability of all dropout that the backbone has (Srivastava et al., JMLR 2014).

    `p` in [0, 1): of its layers, and of what a module of the transformers kind passes to a function
    (its attributes in FUNCTIONAL). Adapters keep their own. Raises UsageError for a backbone that
    has none.
    """

    p: float = 0.1
    name = "dropout"

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p must be in [0, 1), got {self.p}.")

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        layers = [
            part for name, part in module.named_modules()
            if isinstance(part, nn.Dropout) and ".lora_dropout." not in f".{name}."
        ]  # fmt: skip
        asked = handed_on(module, lambda name: name in FUNCTIONAL)
        if not layers and not asked:
            raise UsageError(
                f"{setting.backbone.card.id} has no dropout to set; leave 'dropout' out, or take "
                "'mixup', 'smoothing' or an augmentation against overfitting."
            )
        for layer in layers:
            layer.p = self.p
        for part, name in asked:
            setattr(part, name, self.p)
        return Reshaped(facts={"dropout_layers": len(layers) + len(asked)})


@dataclass(frozen=True, kw_only=True, slots=True)
class DropPath:
    """Stochastic depth, rising linearly over its places to `p` (Huang et al., ECCV 2016).

    For backbones that have such places (ConvNeXt, Swin, BEiT, …), found by the names of their
    layers; they are taken away again after training. Raises UsageError for others.
    """

    p: float = 0.1
    name = "drop-path"

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p must be in [0, 1), got {self.p}.")

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        names = [
            name for name, part in module.named_modules()
            if "droppath" in type(part).__name__.lower() or _waits_for_path(name, part)
        ]  # fmt: skip
        if not names:
            raise UsageError(
                f"{setting.backbone.card.id} has no stochastic depth; leave 'drop-path' out, or "
                "take 'dropout'."
            )
        for at, name in enumerate(names):
            share = self.p * (at / (len(names) - 1) if len(names) > 1 else 1.0)
            _set(module, name, share)
        return Reshaped(restored=_emptied, facts={"drop_path_layers": len(names)})


def _emptied(module: nn.Module) -> None:
    """Put the Identity back where a Path was put."""
    for name, part in list(module.named_modules()):
        if isinstance(part, Path):
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, nn.Identity())


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
