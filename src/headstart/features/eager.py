"""Plain torch, in fp32, or in bf16 where the machine has it.

Convolutions are channels-last; in bf16 batch norms are folded and linear layers packed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.compute.layout import laid_out, lay_out
from headstart.compute.machine import machine, torch_device
from headstart.features.folding import folded, put
from headstart.features.packing import pack
from headstart.sources.backbone import Backbone, Batch, running

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Eager:
    """Plain torch, in one precision.

    In bf16 the first layers over pixels stay in float32: they are thin, and their rounding is most
    of what is lost (MobileNetV2: lowest cosine with float32 0.987 when rounded, 0.998 when not).
    """

    name: str
    bf16: bool

    def build(self, backbone: Backbone) -> Callable[[Batch], np.ndarray] | None:
        import torch

        if self.bf16 and not (machine().fast_bf16 and backbone.trainable):
            return None
        # What another runtime runs, it runs on the CPU.
        device = torch_device() if backbone.trainable else torch.device("cpu")
        if not self.bf16:
            return _run(_placed(backbone, device), device, None)
        made: list[Callable[[Batch], np.ndarray]] = []

        def run(batch: Batch) -> np.ndarray:
            if not made:  # at the first batch: folding needs to see one
                made.append(_in_bf16(backbone, batch, device))
            return made[0](batch)

        return run


def _placed(backbone: Backbone, device: torch.device) -> Backbone:
    if device.type == "cpu":
        backbone.module.eval()
        lay_out(backbone.module)
        return backbone
    return running(backbone, copy.deepcopy(backbone.module).to(device).eval())


def in_bf16(backbone: Backbone, batch: Batch) -> tuple[Backbone, torch.dtype]:
    """Return the backbone with its weights in bf16 but for the first layers over pixels, and the
    type that its input is to have. Batch norms are folded; `batch`: a few examples."""
    import torch

    two = {name: value[:2] for name, value in batch.items()}
    module = folded(backbone, two)
    if module is None:
        module = copy.deepcopy(backbone.module).eval()
    stem = first_layers(backbone)
    kept = {name: copy.deepcopy(module.get_submodule(name)) for name in stem}
    module.to(torch.bfloat16)
    for name, part in kept.items():
        put(module, name, part)
        part.register_forward_hook(lambda _part, _inputs, output: _lowered(output))
    lay_out(module)
    return running(backbone, module), torch.float32 if stem else torch.bfloat16


def _in_bf16(
    backbone: Backbone, batch: Batch, device: torch.device
) -> Callable[[Batch], np.ndarray]:
    ready, dtype = in_bf16(backbone, batch)
    ready.module.to(device)
    if device.type == "cpu":
        pack(ready.module)
    return _run(ready, device, dtype)


def first_layers(backbone: Backbone) -> tuple[str, ...]:
    """Return the modules of the first stage where it convolves pixels, else nothing."""
    import torch

    first = backbone.stages[0].modules if backbone.stages else ()
    parts = [part for name in first for part in backbone.module.get_submodule(name).modules()]
    return first if any(isinstance(part, torch.nn.Conv2d) for part in parts) else ()


def _lowered(output: Any) -> Any:
    import torch

    if isinstance(output, torch.Tensor):
        return output.to(torch.bfloat16) if output.is_floating_point() else output
    if type(output) in (tuple, list):
        return type(output)(_lowered(part) for part in output)
    return output


def plainly(backbone: Backbone) -> Callable[[Batch], np.ndarray]:
    """Return the function that runs `backbone` as it is on the CPU."""
    import torch

    return _run(backbone, torch.device("cpu"), None)


def _run(
    backbone: Backbone, device: torch.device, dtype: torch.dtype | None
) -> Callable[[Batch], np.ndarray]:
    import torch

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if not value.is_floating_point():
            return value.to(device)
        return laid_out(value.to(device, dtype or value.dtype))

    def run(batch: Batch) -> np.ndarray:
        with torch.inference_mode():
            out = backbone.embed({name: moved(value) for name, value in batch.items()})
            features: np.ndarray = out.float().cpu().numpy()
        return features

    return run
