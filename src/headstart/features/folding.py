"""Batch normalisation that follows a convolution becomes part of it, in float32.

In eval mode both are linear, so that one pass over memory a layer is saved. Which batch norms
follow a convolution directly is seen in one run; that nothing else reads the convolution's output
is checked by running again.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from headstart.sources.backbone import Backbone, Batch, running

if TYPE_CHECKING:
    from torch import nn

SAME = 1e-3  # largest difference allowed, in units of the features' standard deviation


def folded(backbone: Backbone, batch: Batch) -> nn.Module | None:
    """Return a copy of the module with folded batch norms; None where there are none to fold.

    `batch`: a few examples to see the order of layers with. The backbone itself stays as it is.
    """
    import torch

    if not any(isinstance(part, torch.nn.BatchNorm2d) for part in backbone.module.modules()):
        return None
    with torch.no_grad():
        pairs, expected = _pairs(backbone, batch)
        module = copy.deepcopy(backbone.module).eval()
        for convolution, norm in pairs:
            first: Any = module.get_submodule(convolution)
            second: Any = module.get_submodule(norm)
            fused = torch.nn.utils.fusion.fuse_conv_bn_eval(first, second)
            put(module, convolution, fused)
            put(module, norm, torch.nn.Identity())
        found = running(backbone, module).embed(batch)
        difference = float((found - expected).abs().max())
    return module if pairs and difference <= SAME * float(expected.std()) else None


def _pairs(backbone: Backbone, batch: Batch) -> tuple[list[tuple[str, str]], Any]:
    """Return names (convolution, batch norm) where one's output is the other's input."""
    import torch

    made: dict[int, tuple[str, Any]] = {}  # id of an output -> its convolution, and itself kept
    runs: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            runs[name] = runs.get(name, 0) + 1
            if isinstance(module, torch.nn.Conv2d):
                made[id(output)] = (name, output)
            elif inputs and id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], name))

        return hook

    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d)
    handles = [
        module.register_forward_hook(watch(name))
        for name, module in backbone.module.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        expected = backbone.embed(batch)
    finally:
        for handle in handles:
            handle.remove()
    convolutions = [convolution for convolution, _ in pairs]
    once = [
        (convolution, norm)
        for convolution, norm in pairs
        if runs[convolution] == runs[norm] == 1 and convolutions.count(convolution) == 1
        and isinstance(backbone.module.get_submodule(norm), torch.nn.BatchNorm2d)
    ]  # fmt: skip
    return once, expected


def put(module: nn.Module, name: str, part: nn.Module) -> None:
    """Replace the sub-module of that name."""
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, part)
