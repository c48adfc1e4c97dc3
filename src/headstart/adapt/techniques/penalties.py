"""Penalties on the weights that move: their size, or their way from where they started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headstart.adapt.technique import Setting

NO_DECAY = 1  # biases and norms (vectors) are not penalised


@dataclass(frozen=True, kw_only=True, slots=True)
class L1:
    """Add weight * sum of |w| of the head's weight matrix: few features are used.

    (L2 is the decoupled `weight_decay` of the phase: Loshchilov and Hutter, ICLR 2019.)
    """

    weight: float = 1e-4
    name = "l1"

    def __post_init__(self) -> None:
        _positive(self.weight)

    def penalty(self, model: nn.ModuleDict, setting: Setting) -> Callable[[], Tensor]:
        weights = [p for p in model["head"].parameters() if p.ndim > NO_DECAY]
        return lambda: self.weight * torch.stack([p.abs().sum() for p in weights]).sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class L2SP:
    """Add weight / 2 * squared distance of the backbone's weights from the pretrained ones.

    Source: Li, Grandvalet and Davoine, ICML 2018 (L2-SP), alpha there. Of LoRA both factors are
    pulled to zero: half the sum of their squares bounds the nuclear norm of their product, which is
    the way from the pretrained weights (Srebro, Rennie and Jaakkola, NeurIPS 2004). Vectors before
    a text were drawn at random: there is nothing to pull them to, and training refuses that.
    """

    weight: float = 0.01
    name = "l2-sp"
    towards_start = True

    def __post_init__(self) -> None:
        _positive(self.weight)

    def penalty(self, model: nn.ModuleDict, setting: Setting) -> Callable[[], Tensor]:
        pairs = [
            (p, torch.zeros_like(p) if ".lora_A." in name else p.detach().clone())
            for name, p in model["backbone"].named_parameters()
        ]

        def penalty() -> Tensor:
            moving = [(p, start) for p, start in pairs if p.requires_grad]
            if not moving:
                return torch.zeros(())
            squares = [(p - start.to(p.device)).square().sum() for p, start in moving]
            return 0.5 * self.weight * torch.stack(squares).sum()

        return penalty


def _positive(weight: float) -> None:
    if weight <= 0:
        raise ValueError(f"weight must be > 0, got {weight}.")
