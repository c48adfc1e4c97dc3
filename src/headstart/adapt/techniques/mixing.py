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

    Pictures and sounds are mixed as they come, and a sound lasts as long as the longer of the two;
    where a frozen front was run before, its outputs are mixed (manifold mixup, Verma et al., ICML
    2019). Texts cannot be mixed.
    """

    alpha: float = 0.2
    name = "mixup"
    modalities = ("image", "audio")
    whole = False

    def __post_init__(self) -> None:
        _check(self.alpha)

    def mix(self, inputs: Any, targets: Tensor) -> Mixed:
        share, order = _drawn(self.alpha, len(targets))

        def blend(value: Tensor) -> Tensor:
            return share * value + (1 - share) * value[order.to(value.device)]

        def either(mask: Tensor) -> Tensor:
            return torch.maximum(mask, mask[order.to(mask.device)])

        if isinstance(inputs, Cached):
            shells = {n: either(v) if _is_mask(n) else v for n, v in inputs.inputs.items()}
            mixed: Any = replace(inputs, inputs=shells, hidden=blend(inputs.hidden))
        else:
            main = _main(inputs, self.name)
            mixed = {
                name: blend(v) if name == main else either(v) if _is_mask(name) else v
                for name, v in inputs.items()
            }
        return mixed, ((targets, share), (targets[order.to(targets.device)], 1 - share))


@dataclass(frozen=True, kw_only=True, slots=True)
class CutMix:
    """Put a rectangle of another picture into each; targets by area (Yun et al., ICCV 2019).

    Pictures are cut before the model, so that no frozen front is run ahead while it is used.
    """

    alpha: float = 1.0
    name = "cutmix"
    modalities = ("image",)
    whole = True

    def __post_init__(self) -> None:
        _check(self.alpha)

    def mix(self, inputs: Any, targets: Tensor) -> Mixed:
        share, order = _drawn(self.alpha, len(targets))
        main = _main(inputs, self.name)
        value = inputs[main]
        height, width = value.shape[-2:]
        tall, wide = round(height * (1 - share) ** 0.5), round(width * (1 - share) ** 0.5)
        top = int(torch.randint(height - tall + 1, ()))
        left = int(torch.randint(width - wide + 1, ()))
        box = (..., slice(top, top + tall), slice(left, left + wide))
        pasted = value.clone()
        pasted[box] = value[order.to(value.device)][box]
        kept = 1 - tall * wide / (height * width)
        mixed = {**inputs, main: pasted}
        return mixed, ((targets, kept), (targets[order.to(targets.device)], 1 - kept))


def _check(alpha: float) -> None:
    if not alpha > 0:
        raise ValueError(f"alpha must be > 0, got {alpha}.")


def _drawn(alpha: float, count: int) -> tuple[float, Tensor]:
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return share, torch.randperm(count)


def _is_mask(name: str) -> bool:
    return name.endswith("mask")


def _main(inputs: Any, name: str) -> str:
    """Return the key of what is seen or heard: the largest floating-point entry."""
    sizes: dict[str, int] = {
        key: value[0].numel()
        for key, value in inputs.items()
        if value.is_floating_point() and not _is_mask(key)
    }
    if not sizes or "input_ids" in inputs:
        raise UsageError(f"The technique {name!r} mixes pictures or sounds; texts cannot be mixed.")
    return max(sizes, key=lambda key: sizes[key])
