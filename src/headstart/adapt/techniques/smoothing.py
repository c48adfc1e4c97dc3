"""Label smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.adapt.technique import Criterion, Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoothing:
    """Take `share` of the target from the true class and spread it evenly over all.

    `share` in (0, 1). Source: Szegedy et al., CVPR 2016. Regression is left as it is.
    """

    share: float = 0.1
    name = "smoothing"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must be in (0, 1), got {self.share}.")

    def criterion(self, inner: Criterion, setting: Setting) -> Criterion:
        kind = setting.task.name
        if kind == "regression":
            return inner

        def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
            if kind == "multi-label":
                return inner(outputs, targets * (1 - self.share) + self.share / 2)
            even = -torch.log_softmax(outputs, dim=1).mean(dim=1)
            return (1 - self.share) * inner(outputs, targets) + self.share * even

        return criterion
