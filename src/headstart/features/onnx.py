"""ONNX Runtime as an engine: the whole of `embed` as one graph, in float32 on the CPU.

The graph is made by torch's TorchScript exporter, which needs neither `onnx` nor `onnxscript`; its
successor needs both, and takes several times as long.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.compute.machine import machine
from headstart.features.traced import (
    check_other_shape,
    eagerly,
    embedding_module,
    silence,
    traceable,
)
from headstart.sources.backbone import Backbone, Batch

if TYPE_CHECKING:
    from torch import nn

OPSET = 17  # the newest that the exporter writes without conversions: layer norm is one operator
OUTPUT = "features"


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """ONNX Runtime on the CPU in float32; skipped where it is not installed, and for audio.

    Exporting and opening take 1.1 s of one core more than torch's first batch, and an image of
    MobileNetV2 takes 12 ms less than in torch's plain fp32. Linear layers are no
    faster in it (MiniLM 0.84 times torch's pace), so models made mostly of them stay with torch
    unless `only_convolutions` is off.
    """

    name: str = "onnxruntime-fp32"
    costs: float = 1.1
    only_convolutions: bool = True

    def build(self, backbone: Backbone) -> Callable[[Batch], np.ndarray] | None:
        from importlib.util import find_spec

        if machine().device != "cpu" or find_spec("onnxruntime") is None:
            return None
        if not traceable(backbone):
            return None
        if self.only_convolutions and not mostly_convolutions(backbone.module):
            return None
        made: list[Callable[[Batch], np.ndarray]] = []

        def run(batch: Batch) -> np.ndarray:
            if not made:
                made.append(_exported(backbone, batch))
            return made[0](batch)

        return run


def mostly_convolutions(module: nn.Module) -> bool:
    """Whether convolutions hold more weights than linear layers do."""
    from torch import nn

    def held(kind: type[nn.Module]) -> int:
        found = [part for part in module.modules() if isinstance(part, kind)]
        return sum(p.numel() for part in found for p in part.parameters(recurse=False))

    return held(nn.Conv2d) > held(nn.Linear)


def _exported(backbone: Backbone, batch: Batch) -> Callable[[Batch], np.ndarray]:
    """Export with two examples of `batch`, check on a batch of another shape, return the run.

    Raises whatever torch, ONNX Runtime or the check raise: the engine is refused then.
    """
    import onnxruntime

    graph = export(backbone, {name: value[:2] for name, value in batch.items()})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # each worker runs a batch of its own (crew.py)
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]  # those that the graph has a use for
    picture = tuple(batch["pixel_values"].shape[1:]) if "pixel_values" in batch else None

    def run(batch: Batch) -> np.ndarray:
        if picture is not None and tuple(batch["pixel_values"].shape[1:]) != picture:
            return eagerly(backbone, batch)  # sizes of pictures may be constants of the graph
        values = {name: np.ascontiguousarray(batch[name].numpy()) for name in names}
        return np.asarray(session.run([OUTPUT], values)[0], dtype=np.float32)

    check_other_shape(backbone, batch, run)
    return run


def export(backbone: Backbone, two: Batch) -> bytes:
    """Return `embed` as ONNX: a picture's batch is free, other tensors are free throughout."""
    import torch

    names = tuple(two)
    free = {
        name: {0: "n"} if value.ndim == 4 else {at: f"{name}_{at}" for at in range(value.ndim)}
        for name, value in two.items()
    }
    file = io.BytesIO()
    with torch.no_grad(), silence():
        torch.onnx.export(
            embedding_module(backbone, names),
            tuple(two.values()),
            file,  # type: ignore[arg-type]  # TorchScript's exporter writes into memory too
            dynamo=False,
            input_names=list(names),
            output_names=[OUTPUT],
            dynamic_axes=free,
            opset_version=OPSET,
        )
    return file.getvalue()
