"""Linear layers in eight bits: weights a scale for each output, activations one for each row.

Everything but linear layers stays in float32. Scales of activations are those of the batch at hand,
so that nothing has to be calibrated, and an example's features depend on no other example.
Where the CPU has VNNI, a product takes a quarter of its time in float32.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.compute.machine import machine
from headstart.features.eager import plainly
from headstart.sources.backbone import Backbone, Batch, running

if TYPE_CHECKING:
    from torch import Tensor, nn

LEVELS = 127  # on either side of zero
ONE_SIDED = 0.25  # inputs that reach no further below zero, of what they reach above: GELU's
ZERO = 128  # of the unsigned numbers that the instruction takes for activations
SHARE = 0.5  # of all weights but embedding tables that linear layers must hold
ROWS = 512  # of a product that the order of weights is chosen for; others work too


@dataclass(frozen=True, slots=True)
class Int8:
    """Torch on the CPU with linear layers in int8, for models that are mostly linear layers."""

    name: str = "int8"
    costs: float = 0.2

    def build(self, backbone: Backbone) -> Callable[[Batch], np.ndarray] | None:
        import torch

        if machine().device != "cpu" or not machine().fast_int8 or not backbone.trainable:
            return None
        if not hasattr(torch.ops.onednn, "qlinear_pointwise") or not mostly_linear(backbone.module):
            return None
        made: list[Callable[[Batch], np.ndarray]] = []

        def run(batch: Batch) -> np.ndarray:
            if not made:
                module = copy.deepcopy(backbone.module).eval()
                quantise(module, looked_at(backbone, batch))
                made.append(plainly(running(backbone, module)))
            return made[0](batch)

        return run


def mostly_linear(module: nn.Module) -> bool:
    """Whether linear layers hold most of the weights, embedding tables aside."""
    import torch

    total = sum(p.numel() for p in module.parameters())
    tables = sum(m.weight.numel() for m in module.modules() if isinstance(m, torch.nn.Embedding))
    linear = sum(m.weight.numel() for m in module.modules() if type(m) is torch.nn.Linear)
    return linear > SHARE * (total - tables)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the inputs of a linear layer looked like; layers that read the same tensor share it."""

    smooth: Tensor  # (inputs,): each input is multiplied by it, its weights are divided by it
    above: bool  # they hardly reach below zero


def looked_at(backbone: Backbone, batch: Batch) -> dict[str, Seen]:
    """Run one batch and return what each linear layer reads.

    Inputs that reach far are made smaller, and their weights larger, by the root of how far they
    reach, so that a few of them do not set the step of all (Xiao et al., ICML 2023, alpha = 0.5).
    """
    import torch

    groups: list[tuple[Any, list[str]]] = []  # inputs, and the layers that read them

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if any(name in names for _, names in groups) or not inputs[0].numel():
                return
            if not groups or groups[-1][0] is not inputs[0]:
                groups.append((inputs[0], []))
            groups[-1][1].append(name)

        return hook

    layers = {n: p for n, p in backbone.module.named_modules() if type(p) is torch.nn.Linear}
    handles = [part.register_forward_pre_hook(watch(name)) for name, part in layers.items()]
    try:
        with torch.inference_mode():
            backbone.embed(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: seen
        for value, names in groups
        for seen in [_seen(value, [layers[name].weight.detach() for name in names])]
        for name in names
    }


def _seen(value: Tensor, weights: list[Tensor]) -> Seen:
    import torch

    rows = value.reshape(-1, value.shape[-1])
    reach = rows.abs().amax(0)
    reach = reach.clamp(min=max(0.2 * float(reach.median()), 1e-6))
    factors = torch.cat(weights).abs().amax(0).clamp(min=1e-5)
    smooth = (factors / reach).sqrt()
    above = -float(rows.min()) < ONE_SIDED * float(rows.max())
    return Seen(smooth / smooth.mean(), above)


class _Last(threading.local):
    """The rows that this thread rounded last: layers that read the same ones share the work."""

    value: Any = None
    seen: Any = None
    rounded: Any = None


def quantise(module: nn.Module, seen: Mapping[str, Seen]) -> int:
    """Replace the linear layers of `module` that were seen, in place; returns how many."""
    import torch

    last = _Last()

    class Quantised(torch.nn.Module):
        """Like nn.Linear, whose `weight` and `bias` models may look at."""

        def __init__(self, linear: torch.nn.Linear, seen: Seen) -> None:
            super().__init__()
            self.weight, self.bias = linear.weight, linear.bias
            self.in_features, self.out_features = linear.in_features, linear.out_features
            weight = linear.weight.detach() / seen.smooth
            self.seen = seen
            self.scale = (weight.abs().amax(1) / LEVELS).clamp(min=1e-12)
            levels = (weight / self.scale[:, None]).round().to(torch.int8)
            self.packed = torch.ops.onednn.qlinear_prepack(levels, [ROWS, self.in_features])
            self.sums = levels.sum(1) * self.scale  # what one more in all inputs adds
            self.zeros = torch.zeros(self.out_features, dtype=torch.int32)

        def forward(self, value: Tensor) -> Tensor:
            if value.dtype != torch.float32 or not value.numel():
                return torch.nn.functional.linear(value, self.weight, self.bias)
            if last.value is not value or last.seen is not self.seen:
                rows = value.reshape(-1, self.in_features) * self.seen.smooth
                last.rounded = rounded(rows, above=self.seen.above)
                last.value, last.seen = value, self.seen
            levels, scale, low = last.rounded
            out: Tensor = torch.ops.onednn.qlinear_pointwise(
                levels, 1.0, 0 if self.seen.above else ZERO, self.packed, self.scale, self.zeros,
                None, 1.0, 0, torch.float32, "none", [], "",
            )  # fmt: skip
            out = out.mul_(scale) if self.bias is None else out.mul_(scale).add_(self.bias)
            if low is not None:
                torch.addcmul(out, low, self.sums, out=out)
            return out.view(*value.shape[:-1], self.out_features)

    count = 0
    for prefix, parent in list(module.named_modules()):
        for name, part in list(parent.named_children()):
            # Exactly nn.Linear: what derives from it computes something else or is read elsewhere.
            full = f"{prefix}.{name}".lstrip(".")
            known = type(part) is torch.nn.Linear and part.weight.dtype == torch.float32
            if known and full in seen:
                setattr(parent, name, Quantised(part, seen[full]))
                count += 1
    return count


def rounded(rows: Tensor, *, above: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return rows (n, d) as unsigned levels, their scales and their lowest values, (n, 1) both.

    The levels lie about ZERO and lowest values are None; with `above` they begin at the lowest.

    >>> import torch
    >>> rounded(torch.tensor([[-1.0, 0.0, 0.5]]))[0].tolist()
    [[1, 128, 192]]
    """
    import torch

    # Numbers above zero are cut off when they become whole: half a step more rounds them.
    high, low = rows.amax(1, keepdim=True), rows.amin(1, keepdim=True)
    if above:
        scale = high.sub_(low).clamp_(min=1e-12).div_(2 * LEVELS)
        shift = 0.5 - low / scale
        return torch.mul(rows, scale.reciprocal()).add_(shift).to(torch.uint8), scale, low
    # Both ends apart: twice as fast as the largest absolute value.
    scale = torch.maximum(high, low.neg_()).clamp_(min=1e-12).div_(LEVELS)
    return torch.mul(rows, scale.reciprocal()).add_(ZERO + 0.5).to(torch.uint8), scale, None
