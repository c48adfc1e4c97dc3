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
    ) -> tuple[dict[str, Tensor], tuple[int, ...]]:
        taken, best = [0], states[0]
        lowest = key(best)
        for at in range(1, len(states)):
            mixed = mean([states[one] for one in (*taken, at)])
            found = key(mixed)
            if found <= lowest:
                taken, best, lowest = [*taken, at], mixed, found
        return best, tuple(taken)


def mean(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of states with equal names; whole numbers come from the first.

    What is equal in all of them stays so to the bit: the sum of three equal numbers is rounded.
    """
    return {name: _mean([state[name] for state in states]) for name in states[0]}


def _mean(values: list[Tensor]) -> Tensor:
    first = values[0]
    if not first.is_floating_point() or all(torch.equal(first, value) for value in values[1:]):
        return first
    return torch.stack(values).mean(dim=0)
