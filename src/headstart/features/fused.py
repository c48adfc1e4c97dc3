"""Convolutional networks with everything around a convolution fused into it.

One forward pass is recorded (tape.py), what can be joined is joined (fusing.py), and the result is
run with oneDNN's own operations and weights in oneDNN's own order. Nothing is installed for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.compute.layout import laid_out
from headstart.compute.machine import machine
from headstart.features.eager import in_bf16
from headstart.features.fusing import Convolution, fuse
from headstart.features.tape import NotRecorded, Ref, Step, player, record
from headstart.features.traced import eagerly
from headstart.sources.backbone import Backbone, Batch

# Pictures at once: fewer pay for the calls, more leave the cache. MobileNetV2 on one core, ms a
# picture at 1, 2, 4, 8 and 16: 9.6, 8.8, 7.4, 7.9, 8.0.
COUNT = 4


@dataclass(frozen=True, slots=True)
class Fused:
    """A recorded forward pass on the CPU, for pictures of one size."""

    name: str
    bf16: bool
    costs: float = 0.4

    def build(self, backbone: Backbone) -> Callable[[Batch], np.ndarray] | None:
        import torch

        here = machine().device == "cpu" and torch.backends.mkldnn.is_available()
        if not here or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
            return None
        if not backbone.trainable or backbone.card.modality != "image":
            return None
        if self.bf16 and not machine().fast_bf16:
            return None
        if not any(isinstance(part, torch.nn.Conv2d) for part in backbone.module.modules()):
            return None
        made: list[Callable[[Batch], np.ndarray]] = []

        def run(batch: Batch) -> np.ndarray:
            if not made:
                made.append(_recorded(backbone, batch, bf16=self.bf16))
            return made[0](batch)

        return run


def _recorded(backbone: Backbone, batch: Batch, *, bf16: bool) -> Callable[[Batch], np.ndarray]:
    """Record on noise, so that nothing of the sample on which it is checked is kept by the tape.

    Raises NotRecorded, and whatever torch raises: the engine is refused then.
    """
    import torch

    if set(batch) != {"pixel_values"}:
        raise NotRecorded(f"a batch holds {', '.join(batch)}, not pixel_values alone")
    size = tuple(batch["pixel_values"].shape[1:])
    ready, dtype = in_bf16(backbone, batch) if bf16 else (backbone, torch.float32)
    noise = torch.randn(COUNT, *size, generator=torch.Generator().manual_seed(0))
    tape = record(ready.embed, {"pixel_values": laid_out(noise.to(dtype))})
    order = fuse(tape)
    if not any(isinstance(step, Convolution) for step in order):
        raise NotRecorded("no convolution that could be fused")
    tape.steps = [
        lowered(step, tape.shapes[step.source]) if isinstance(step, Convolution) else step
        for step in order
    ]
    play = player(tape)

    def run(batch: Batch) -> np.ndarray:
        pixels = batch["pixel_values"]
        if tuple(pixels.shape[1:]) != size:
            return eagerly(backbone, batch)
        parts = []
        with torch.inference_mode():
            for part in laid_out(pixels.to(dtype)).split(COUNT):
                lacking = COUNT - len(part)
                full = torch.cat([part, part[:1].expand(lacking, -1, -1, -1)]) if lacking else part
                out = play({"pixel_values": laid_out(full)})
                parts.append(out[: len(part)].float())
            features: np.ndarray = torch.cat(parts).numpy()
        return features

    return run


def lowered(conv: Convolution, shape: tuple[int, ...]) -> Step:
    """Return the step that runs a convolution on inputs of `shape` (n, c, h, w).

    Padding that is wider on one side becomes even padding and zeros in the kernel: its first row
    then lies on the padding that was added. (MobileNetV2's 3 x 3 of stride 2, 96 channels of 112 x
    112, one core: 0.3 ms as 4 x 4; writing the padded picture alone takes longer.)
    """
    import torch

    ops = torch.ops.mkldnn
    left, right, top, bottom = conv.padding
    padding = (max(top, bottom), max(left, right))
    grow = (padding[1] - left, padding[1] - right, padding[0] - top, padding[0] - bottom)
    weight = torch.nn.functional.pad(conv.weight, grow) if any(grow) else conv.weight
    place = (list(padding), list(conv.stride), list(conv.dilation), conv.groups)
    with torch.inference_mode():
        packed = ops._reorder_convolution_weight(weight.detach(), *place, list(shape))
    bias = None if conv.bias is None else conv.bias.detach()
    name, numbers, algorithm = conv.activation
    args: tuple[Any, ...] = (Ref(conv.source), packed, bias, *place, name, numbers, algorithm)
    op = ops._convolution_pointwise.default
    if conv.other is not None:
        last = (None, [], None) if name == "none" else (name, numbers, algorithm)
        args = (Ref(conv.source), Ref(conv.other), packed, bias, *place, "add", 1.0, *last)
        op = ops._convolution_pointwise.binary
    return Step(op, "convolution", args, {}, (conv.out,))
