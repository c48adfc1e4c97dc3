"""Examples that are mixtures of two: mixup and cutmix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from headstart.adapt.boundary import Cached
from headstart.adapt.technique import Mixed
from headstart.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixup:
    """Mix two inputs and their targets, lambda ~ Beta(alpha, alpha) (Zhang et al., ICLR 2018).

    Pictures and spectrograms are mixed as they come; where a frozen front was run before, its
    outputs are (manifold mixup, Verma et al., ICML 2019). Texts cannot be mixed.
    """

    alpha: float = 0.2
    name = "mixup"

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise ValueError(f"alpha must be > 0, got {self.alpha}.")

    def mix(self, inputs: Any, targets: Tensor) -> Mixed:
        share, order = _drawn(self.alpha, len(targets))

        def blend(value: Tensor) -> Tensor:
            return share * value + (1 - share) * value[order.to(value.device)]

        mixed = _changed(inputs, blend, self.name)
        return mixed, ((targets, share), (targets[order.to(targets.device)], 1 - share))


@dataclass(frozen=True, kw_only=True, slots=True)
class CutMix:
    """Put a rectangle of another picture into each; targets by area (Yun et al., ICCV 2019)."""

    alpha: float = 1.0
    name = "cutmix"

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise ValueError(f"alpha must be > 0, got {self.alpha}.")

    def mix(self, inputs: Any, targets: Tensor) -> Mixed:
        share, order = _drawn(self.alpha, len(targets))
        kept = 1.0

        def paste(value: Tensor) -> Tensor:
            nonlocal kept
            if value.ndim != 4:
                raise UsageError("The technique 'cutmix' is for pictures; take 'mixup' instead.")
            height, width = value.shape[-2:]
            tall, wide = round(height * (1 - share) ** 0.5), round(width * (1 - share) ** 0.5)
            top = int(torch.randint(height - tall + 1, ()))
            left = int(torch.randint(width - wide + 1, ()))
            out = value.clone()
            box = (..., slice(top, top + tall), slice(left, left + wide))
            out[box] = value[order.to(value.device)][box]
            kept = 1 - tall * wide / (height * width)
            return out

        mixed = _changed(inputs, paste, self.name)
        return mixed, ((targets, kept), (targets[order.to(targets.device)], 1 - kept))


def _drawn(alpha: float, count: int) -> tuple[float, Tensor]:
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return share, torch.randperm(count)


def _changed(inputs: Any, change: Any, name: str) -> Any:
    if isinstance(inputs, Cached):
        return replace(inputs, hidden=change(inputs.hidden))
    mixable = [key for key, value in inputs.items() if value.is_floating_point()]
    if not mixable or "input_ids" in inputs:
        raise UsageError(f"The technique {name!r} mixes pictures or sounds; texts cannot be mixed.")
    return {key: change(v) if key in mixable[:1] else v for key, v in inputs.items()}
