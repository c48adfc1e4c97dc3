"""Low-rank adapters beside the layers, merged into their weights after training."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from headstart.adapt.peft_layers import WHERE, injected, library, targets
from headstart.adapt.technique import Reshaped, Setting
from headstart.errors import UsageError

SAVE = ("merged", "adapter")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """Train W + alpha / rank * B A in place of W (Hu et al., ICLR 2022); needs headstart[peft].

    `rslora`: alpha / sqrt(rank) (Kalajdzievski, 2023). `dora`: the length of W's columns is learned
    apart (Liu et al., ICML 2024), but in layers that have filters of zeros. `where`: "auto",
    "attention", "linear", "convolutions", or a regular expression without commas, searched for in
    the names of layers. `save`: "adapter" writes the adapter alone too, beside the model, in which
    it is merged.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    rslora: bool = False
    dora: bool = False
    where: str = "auto"
    save: str = "merged"
    name = "lora"

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or isinstance(self.rank, bool) or self.rank < 1:
            raise ValueError(f"rank must be a whole number >= 1, got {self.rank!r}.")
        if not self.alpha > 0:
            raise ValueError(f"alpha must be > 0, got {self.alpha}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")
        for flag in ("rslora", "dora"):
            if not isinstance(getattr(self, flag), bool):
                raise ValueError(f"{flag} must be true or false, got {getattr(self, flag)!r}.")
        check_where(self.where)
        check_save(self.save)

    def reshape(self, module: nn.Module, setting: Setting) -> Reshaped:
        names = targets(module, setting, self.where, self.name)
        alive = [name for name in names if not self.dora or has_lengths(module, name)]
        if not alive:
            raise UsageError(
                f"{setting.backbone.card.id} has filters of zeros in all these layers, which have "
                "no direction for dora; take dora=false."
            )
        config = library().LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout,
            use_rslora=self.rslora, use_dora=self.dora, task_type="FEATURE_EXTRACTION",
            target_modules=alive,
        )  # fmt: skip
        keep = self.save == "adapter"
        made = injected(module, setting, config, self.name, keep=keep, decay=True)
        if len(alive) == len(names):
            return made
        return replace(made, facts={**made.facts, "dora_left_out": len(names) - len(alive)})


def has_lengths(module: nn.Module, name: str) -> bool:
    """Whether no filter of a layer is all zeros: DoRA divides by their lengths.

    MobileNets have such filters, whose weights were decayed to nothing.
    """
    layer = module.get_submodule(name)
    weight: Any = layer.weight
    if not isinstance(layer, nn.Linear | nn.Conv2d):  # GPT-2's lie transposed
        weight = weight.T
    return bool((weight.detach().flatten(1).norm(dim=1) > 0).all())


def check_where(where: object) -> None:
    """Raise ValueError for what is neither a known place nor a regular expression."""
    if not isinstance(where, str) or not where:
        raise ValueError(f"where must be {', '.join(WHERE)} or a pattern, got {where!r}.")
    try:
        re.compile(where)
    except re.error as error:
        raise ValueError(f"where is no regular expression: {where!r}: {error}.") from None


def check_save(save: object) -> None:
    """Raise ValueError for what is no way to save."""
    if save not in SAVE:
        raise ValueError(f"save must be {' or '.join(SAVE)}, got {save!r}.")
