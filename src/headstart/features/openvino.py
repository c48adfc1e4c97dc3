"""OpenVINO as an engine: the whole of `embed` as one compiled graph, for this machine's CPU.

The graph is made through OpenVINO's PyTorch front end, not `openvino.convert_model`, which reports
its use over the network and traces the model twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.compute.machine import machine
from headstart.features.eager import first_layers
from headstart.features.traced import (
    check_other_shape,
    eagerly,
    embedding_module,
    silence,
    traceable,
)
from headstart.sources.backbone import Backbone, Batch

CONVERTED = "__module.module."  # what the names of a traced module's operations start with


@dataclass(frozen=True, slots=True)
class OpenVino:
    """OpenVINO on the CPU, in one precision; skipped where it is not installed.

    bf16 keeps the first layers over pixels in float32, as
    the eager engine does, in a graph of their own.
    """

    name: str
    bf16: bool
    costs: float = 1.3

    def build(self, backbone: Backbone) -> Callable[[Batch], np.ndarray] | None:
        from importlib.util import find_spec

        if machine().device != "cpu" or find_spec("openvino") is None:
            return None
        if self.bf16 and not machine().fast_bf16:
            return None
        if not traceable(backbone):
            return None
        made: list[Callable[[Batch], np.ndarray]] = []

        def run(batch: Batch) -> np.ndarray:
            if not made:
                made.append(_compiled(backbone, batch, bf16=self.bf16))
            return made[0](batch)

        return run


def _compiled(backbone: Backbone, batch: Batch, *, bf16: bool) -> Callable[[Batch], np.ndarray]:
    """Convert with two examples of `batch`, check on a batch of another shape, return the run.

    Raises whatever torch, OpenVINO or the check raise: the engine is refused then.
    """
    import openvino

    names = tuple(batch)
    graph = _graph(backbone, {name: value[:2] for name, value in batch.items()})
    core = openvino.Core()

    def compiled(part: Any, precision: str) -> Any:
        # A stream for each worker (crew.py), on one core.
        cores = max(1, machine().cores)
        hints = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": cores,
                 "INFERENCE_NUM_THREADS": cores}  # fmt: skip
        return core.compile_model(part, "CPU", hints)

    stem = first_layers(backbone) if bf16 else ()
    parts = _cut(graph, stem[-1]) if stem else (graph,)
    precisions = ("f32", "bf16")[-len(parts) :] if bf16 else ("f32",)
    models = [compiled(part, hint) for part, hint in zip(parts, precisions, strict=True)]
    own = threading.local()
    picture = tuple(batch["pixel_values"].shape[1:]) if "pixel_values" in batch else None

    def run(batch: Batch) -> np.ndarray:
        if picture is not None and tuple(batch["pixel_values"].shape[1:]) != picture:
            return eagerly(backbone, batch)  # sizes of pictures may be constants of the graph
        values: Any = [np.ascontiguousarray(batch[name].numpy()) for name in names]
        if not hasattr(own, "requests"):  # a request serves one thread at a time
            own.requests = [model.create_infer_request() for model in models]
        for request in own.requests:
            values = [request.infer(values, share_inputs=True, share_outputs=True)[0]]
        return np.array(values[0], dtype=np.float32)

    check_other_shape(backbone, batch, run)
    return run


def _graph(backbone: Backbone, two: Batch) -> Any:
    """Return an OpenVINO model of `embed`, inputs in the batch's order, free in every size."""
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    names = tuple(two)
    module = embedding_module(backbone, names)
    with torch.no_grad(), silence():
        traced = torch.jit.trace(module, tuple(two.values()), check_trace=False)
        decoder = TorchScriptPythonDecoder(traced, example_input=tuple(two.values()))
        front = FrontEndManager().load_by_framework("pytorch")
        loaded = front.load(decoder)
        graph = front.convert(loaded)
    if len(graph.inputs) != len(names):
        raise ValueError(f"the traced graph uses {len(graph.inputs)} of the inputs {names}")
    for given, value in zip(graph.inputs, two.values(), strict=True):
        given.get_node().set_element_type(openvino_type(value))
        given.get_node().set_partial_shape(free(value))
    graph.validate_nodes_and_infer_types()
    return graph


def openvino_type(value: Any) -> Any:
    import openvino

    return openvino.Type(value.numpy().dtype)


def free(value: Any) -> Any:
    """Return the shape of a picture with a free batch, of other tensors free throughout."""
    import openvino

    sizes = [-1, *value.shape[1:]] if value.ndim == 4 else [-1] * value.ndim
    return openvino.PartialShape(sizes)


def _cut(graph: Any, last: str) -> tuple[Any, ...]:
    """Cut a graph behind the module `last`: what leads to its output, and what follows.

    The whole graph where more than one value leaves the module (sizes, for transformers): then the
    first layers are rounded too, and the check of agreement decides.
    """
    import openvino
    from openvino import opset13 as ops

    inside = [
        node for node in graph.get_ordered_ops()
        if node.get_friendly_name().startswith(f"{CONVERTED}{last}.")
        or node.get_friendly_name().startswith(f"{CONVERTED}{last}/")
    ]  # fmt: skip
    names = {node.get_friendly_name() for node in inside}
    leaving = {
        output
        for node in inside
        if node.get_type_name() != "Constant"
        for output in node.outputs()
        if any(t.get_node().get_friendly_name() not in names for t in output.get_target_inputs())
    }
    if len(leaving) != 1:
        return (graph,)
    (output,) = leaving
    middle = ops.parameter(output.get_partial_shape(), output.get_element_type())
    for target in output.get_target_inputs():
        target.replace_source_output(middle.output(0))
    back = openvino.Model(graph.get_results(), [middle], "back")
    front = openvino.Model([ops.result(output)], graph.get_parameters(), "front")
    return front, back
