"""A greedy soup of the best checkpoints of one training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Soup:
    """Average the best checkpoints, each only if validation does not get worse by it.

    `keep`: how many of the best are tried, >= 2. Source: Wortsman et al., ICML 2022, recipe 1.
    """

    keep: int = 4
    name = "soup"

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise ValueError(f"keep must be >= 2, got {self.keep}.")

    def blend(
        self, states: list[dict[str, Tensor]], key: Callable[[dict[str, Tensor]], tuple[float, ...]]
    ) -> dict[str, Tensor]:
        taken, best = states[:1], states[0]
        lowest = key(best)
        for state in states[1:]:
            mixed = mean([*taken, state])
            found = key(mixed)
            if found <= lowest:
                taken, best, lowest = [*taken, state], mixed, found
        return best


def mean(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of states with equal names; whole numbers come from the first."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
