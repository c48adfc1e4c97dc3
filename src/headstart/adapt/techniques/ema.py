"""A moving average of the weights, validated and handed over in their place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Ema:
    """Average the weights over about 1 / (1 - decay) steps (Polyak and Juditsky, 1992).

    `decay` in (0, 1). While there are few steps yet the average forgets faster, by
    min(decay, (1 + step) / (10 + step)), so that the start does not linger.
    """

    decay: float = 0.99
    name = "ema"

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must be in (0, 1), got {self.decay}.")

    def follow(self, model: nn.ModuleDict) -> Averaged:
        return Averaged(model, self.decay)


class Averaged:
    """The average so far of every floating-point entry of a model's state."""

    def __init__(self, model: nn.ModuleDict, decay: float) -> None:
        self._model, self._decay = model, decay
        self._mean = {
            name: value.detach().clone()
            for name, value in model.state_dict().items()
            if value.is_floating_point()
        }

    def after(self, step: int) -> None:
        decay = min(self._decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in self._model.state_dict().items():
                if name in self._mean:
                    self._mean[name].lerp_(value, 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        return {**self._model.state_dict(), **self._mean}

    def state(self) -> dict[str, Tensor]:
        return self._mean

    def resume(self, state: dict[str, Tensor]) -> None:
        self._mean = {
            name: value.to(self._mean[name].device).clone() for name, value in state.items()
        }
