"""A model whose backbone came as an ONNX graph: its head is put behind that graph.

Only the head is traced; the graph stays as it is, with its own way of taking inputs, which
`sources.graphs` knows. So such an export is opened as any ONNX model is, and its feature is what
this model says.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.task import Task
from headstart.errors import UsageError
from headstart.run.export_answers import answered
from headstart.sources.graphs.feature import Feature
from headstart.sources.graphs.frozen import CHOSEN, OnnxBackbone, open_graph

if TYPE_CHECKING:
    from torch import nn

    from headstart.adapt import Adapted
    from headstart.sources.graphs.inputs import Taken

OPSETS = range(11, 21)  # that torch's exporter can write a head for
PREFIX = "headstart/"


def grown(
    model: Adapted, backbone: OnnxBackbone, outputs: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    """Return the backbone's graph (a ModelProto) with the head behind it, and facts about it.

    `outputs`: names that its outputs shall have; "headstart_…" where the graph has them already.
    Raises UsageError for a graph of an opset that no head can be written in.
    """
    import onnx

    from headstart.sources.graphs.inputs import taken

    graph = onnx.load_model_from_string(backbone.graph)
    opset = next(one.version for one in graph.opset_import if one.domain in ("", "ai.onnx"))
    if opset not in OPSETS:
        raise UsageError(
            f"{model.name!r} cannot be exported to onnx: its graph is of opset {opset}; a head "
            f"can be put behind opsets {OPSETS[0]} to {OPSETS[-1]}. Take --to torchscript-free."
        )
    taking = taken(graph, backbone.origin, backbone.card.id)
    hidden, mask = _hidden(taking, backbone)
    names = _free_names(graph, outputs)
    tail = onnx.load_model_from_string(
        _tail(model, backbone.feature, hidden, mask is not None, names, opset)
    )
    _join(graph, tail, names, [backbone.feature.tensor, mask])
    said = {"tensor": names[0], "pooling": "flat", "why": "the answer of the model"}
    kept = [(e.key, e.value) for e in graph.metadata_props if e.key != CHOSEN]
    del graph.metadata_props[:]
    for key, text in [*kept, (CHOSEN, json.dumps(said))]:
        graph.metadata_props.add(key=key, value=text)
    free = {
        one.name: [at for at, size in enumerate(one.dims) if at and size is None]
        for one in taking.inputs
    }
    return graph, {
        "grown": True, "opset": opset, "inputs": [one.name for one in taking.inputs],
        "outputs": names, "free": {name: axes for name, axes in free.items() if axes},
        "apart": taking.modality == "audio", "preprocessing": _preparation(backbone),
    }  # fmt: skip


def _free_names(graph: Any, outputs: Sequence[str]) -> list[str]:
    taken = {name for node in graph.graph.node for name in (*node.input, *node.output)}
    return [name if name not in taken else f"headstart_{name}" for name in outputs]


def _join(graph: Any, tail: Any, names: list[str], given: list[str | None]) -> None:
    """Put the nodes of `tail` behind those of `graph`; its inputs become the values `given`."""
    import onnx

    inputs = [PREFIX + value.name for value in tail.graph.input]
    tail = onnx.compose.add_prefix(tail, PREFIX)
    ends: dict[str, Any] = {PREFIX + name: name for name in names}
    ends |= dict(zip(inputs, given, strict=False))
    for node in tail.graph.node:
        node.input[:] = [ends.get(name, name) for name in node.input]
        node.output[:] = [ends.get(name, name) for name in node.output]
    graph.graph.node.extend(tail.graph.node)
    graph.graph.initializer.extend(tail.graph.initializer)
    del graph.graph.output[:]
    for value in tail.graph.output:
        value.name = ends[value.name]
        graph.graph.output.append(value)


def _preparation(backbone: OnnxBackbone) -> dict[str, Any]:
    """Return what has to be done to an example before the graph sees it."""
    from headstart.sources.graphs.inputs import PICTURES_AND_SOUNDS

    run: Any = backbone.preparation.run
    if backbone.card.modality == "text":
        return {"longest": run.longest, "tokenizer": type(run.tokenizer).__name__}
    found: dict[str, Any] = json.loads(backbone.preparation.files[PICTURES_AND_SOUNDS])
    return found


def _hidden(taking: Taken, backbone: OnnxBackbone) -> tuple[np.ndarray, str | None]:
    """Return the feature's tensor of one example, and the name of the mask that pools it."""
    from headstart.sources.graphs.feeding import one_by_one
    from headstart.sources.graphs.session import open_session, run_session

    run = backbone.preparation.run
    feeds = next(one_by_one(taking, run([run.example])))
    (found,) = run_session(open_session(backbone.graph), [backbone.feature.tensor], feeds)
    masks = [one.name for one in taking.inputs if one.role == "attention_mask"]
    # Of a sound, masks have another length than the feature: all of its steps count.
    pools = backbone.feature.pooling == "mean" and taking.modality == "text"
    return found, masks[0] if masks and pools else None


def _tail(
    model: Adapted, feature: Feature, hidden: np.ndarray, masked: bool, names: Sequence[str],
    opset: int,
) -> bytes:  # fmt: skip
    """Return pooling, head and probabilities as a graph of their own."""
    import torch

    from headstart.features.traced import silence

    values = [torch.from_numpy(hidden)]
    if masked:
        values.append(torch.ones(hidden.shape[:2], dtype=torch.int64))
    inputs = ["hidden", "mask"][: len(values)]
    free = {
        name: {at: f"{name}_{at}" for at in range(value.ndim)}
        for name, value in zip(inputs, values, strict=True)
    }
    file = io.BytesIO()
    with torch.no_grad(), silence():
        torch.onnx.export(
            _module(model, feature), tuple(values),
            file,  # type: ignore[arg-type]  # TorchScript's exporter writes into memory too
            dynamo=False, input_names=inputs, output_names=list(names), opset_version=opset,
            dynamic_axes=free | {name: {0: "n"} for name in names},
        )  # fmt: skip
    return file.getvalue()


def _module(model: Adapted, feature: Feature) -> nn.Module:
    from torch import nn

    from headstart.run.export_heads import activation, head_module

    class Tail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.activate = head_module(model.head), activation(model.task.name)

        def forward(self, hidden: Any, mask: Any = None) -> Any:
            raw = self.head(pooled(feature.pooling, hidden.float(), mask))
            return raw if self.activate is None else (raw, self.activate(raw))

    return Tail().eval()


def pooled(pooling: str, hidden: Any, mask: Any) -> Any:
    """Return (n, width), as `sources.graphs.feeding.pool` does for arrays."""
    if pooling == "frames":
        return hidden.reshape(-1, hidden.shape[-1]).mean(0, keepdim=True)
    if pooling == "average":
        return hidden.flatten(2).mean(2)
    if pooling == "map":
        return hidden.flatten(1, 2).mean(1)
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "mean":
        if mask is None:
            return hidden.mean(1)
        weights = mask.float()[:, :, None]
        return (hidden * weights).sum(1) / weights.sum(1).clamp_min(1.0)
    return hidden.flatten(1)


@dataclass(frozen=True, slots=True, eq=False)
class GrownModel:
    """Such an export, opened. `backbone`: its embeddings are the raw outputs (n, k)."""

    name: str
    modality: str
    task: Task
    backbone: OnnxBackbone

    def scores(self, inputs: Unlabelled, *, progress: Progress = silent) -> np.ndarray:
        """Return what `Task.kind.activate` makes of the raw outputs."""
        return answered(
            self.raw, inputs, self.task, self.backbone.spec, name=self.name, progress=progress
        )

    def raw(self, decoded: list[Any]) -> np.ndarray:
        """Return logits or predictions (n, k) float64 of decoded examples."""
        batch = self.backbone.preprocess(decoded)
        found: np.ndarray = self.backbone.embed(batch).double().numpy()
        return found

    def run(self, decoded: list[Any], output: str) -> np.ndarray:
        """Return one output of the graph."""
        file = self.backbone.card.id
        other = open_graph(Path(file), id=file, source="run", output=output)
        return GrownModel(self.name, self.modality, self.task, other).raw(decoded)


def read_grown(file: Path, about: dict[str, Any]) -> GrownModel:
    """Open an export. Raises ModelError where the graph is damaged."""
    task = Task.of(about["task"], tuple(about["labels"]))
    backbone = open_graph(file, id=str(file), source="run")
    return GrownModel(about["name"], about["modality"], task, backbone)
