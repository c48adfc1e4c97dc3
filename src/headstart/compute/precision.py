"""The precision of training: bf16 for matrix products where the hardware multiplies it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.compute.machine import machine

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Precision:
    """What the forward pass of training runs in; weights and their updates stay in fp32."""

    bf16: bool = False

    def forward(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        import torch

        return torch.autocast(machine().device, dtype=torch.bfloat16, enabled=self.bf16)

    def __str__(self) -> str:
        return "bf16 autocast" if self.bf16 else "fp32"


FP32 = Precision()


def precision_for(module: nn.Module) -> Precision:
    """Return bf16 for models that are mostly linear layers, where it was measured to be fast.

    Measured on 2 cores with avx512_bf16, a step of 32: MiniLM 0.30 s in fp32 and 0.10 in bf16, but
    YAMNet 0.47 and 0.67, because the backward pass of depthwise convolutions is slower in bf16.
    """
    import torch

    total = sum(p.numel() for p in module.parameters())
    linear = sum(m.weight.numel() for m in module.modules() if isinstance(m, torch.nn.Linear))
    tables = sum(m.weight.numel() for m in module.modules() if isinstance(m, torch.nn.Embedding))
    return Precision(machine().fast_bf16 and linear > 0.5 * (total - tables))


@contextmanager
def suited_attention(module: nn.Module, precision: Precision) -> Iterator[None]:
    """Take plain attention for bf16 training on the CPU, inside the block.

    torch's fused attention spends there, in bf16 and for short texts, 64 of 159 ms a step in its
    backward pass; plain products take 6.
    """
    change = getattr(module, "set_attn_implementation", None)
    before = getattr(getattr(module, "config", None), "_attn_implementation", None)
    if not precision.bf16 or machine().device != "cpu" or change is None or before is None:
        yield
        return
    change("eager")
    try:
        yield
    finally:
        change(before)
