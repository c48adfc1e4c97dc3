"""The order of a picture's numbers in memory that convolutions are fastest with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def lay_out(module: nn.Module) -> None:
    """Put the weights of a module with 2-d convolutions in channels-last order, in place."""
    import torch

    if any(isinstance(part, torch.nn.Conv2d) for part in module.modules()):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def laid_out(value: Any) -> Any:
    """Return a tensor (n, c, h, w) in channels-last order; anything else as it is."""
    import torch

    if isinstance(value, torch.Tensor) and value.ndim == 4 and value.is_floating_point():
        return value.contiguous(memory_format=torch.channels_last)
    return value
