"""The head that is trained, and targets as its loss wants them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from headstart.adapt.heads import Linear
from headstart.data.task import Task


class ScaledLinear(nn.Module):
    """A linear head on standardised features, so that one learning rate suits any backbone."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(mean), outputs)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.linear((features - self.mean) / self.scale)
        return out

    def start_from(self, head: Linear) -> None:
        """Take over the function of a fitted head."""
        weights = torch.from_numpy(head.weights)  # (d, k)
        with torch.no_grad():
            self.linear.weight.copy_((weights * self.scale[:, None]).T)
            self.linear.bias.copy_(torch.from_numpy(head.bias) + self.mean @ weights)

    def merged(self, scale: float, centre: float) -> Linear:
        """Return the head for raw features; outputs times `scale` plus `centre`."""
        with torch.no_grad():
            weights = (self.linear.weight / self.scale).T.double()
            bias = self.linear.bias.double() - self.mean.double() @ weights
        return Linear((weights * scale).float().numpy(), (bias * scale + centre).float().numpy())


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets as the loss wants them: regression standardised by training examples."""

    values: Tensor
    centre: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, targets: np.ndarray, task: Task, training: np.ndarray) -> Targets:
        if task.name != "regression":
            return cls(torch.from_numpy(targets))
        centre = float(targets[training].mean())
        scale = float(targets[training].std()) or 1.0
        return cls(torch.from_numpy((targets - centre) / scale).float(), centre, scale)
