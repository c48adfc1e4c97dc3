"""Which tensor of a graph is the feature, and the part of the graph that gives it.

Pure functions over an ONNX ModelProto and what one trial run gave: `tensors` holds every value on
the way to the output for one example, by name, in the order of the graph.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import ModelError
from headstart.sources.graphs.read import messages
from headstart.sources.pooling import CLASS_TOKENS

# Outputs that exporters of each kind call so, best first.
EMBEDDINGS = {
    "text": ("sentence_embedding", "text_embeds", "last_hidden_state", "token_embeddings"),
    "image": ("image_embeds", "pooler_output", "embedding", "embeddings", "features",
              "feature_vector", "last_hidden_state"),
    "audio": ("audio_embeds", "embedding", "embeddings", "features", "last_hidden_state"),
}  # fmt: skip
# Between a classifier and the output: they change no more than scale, shape or kind of its numbers.
PASSED = frozenset({
    "Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast", "Flatten", "Reshape", "Squeeze",
    "Unsqueeze", "Dropout", "Add", "Sub", "Mul", "Div", "Clip", "Relu", "LeakyRelu",
    "QuantizeLinear", "DequantizeLinear",
})  # fmt: skip
CLASSIFIERS = frozenset({"Gemm", "MatMul", "MatMulInteger", "FusedMatMul", "QGemm"})
POOLED = frozenset({"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "AveragePool"})
SHOWN = 12  # names in a message


@dataclass(frozen=True, slots=True)
class Feature:
    """A value of the graph, and how it becomes one embedding an example.

    `pooling`: "flat" (it is one), "average" (over height and width of a map (n, c, h, w)), "map"
    (the same of (n, h, w, c)), "mean" (over the steps that are no padding), "cls" (first token),
    "frames" (over the rows of a graph that takes one clip).
    """

    tensor: str
    pooling: str
    why: str  # half a sentence for the card

    def width(self, shape: tuple[int, ...]) -> int:
        """Return the numbers of an embedding, for the shape that the tensor had in the trial."""
        if self.pooling == "flat":
            return int(np.prod(shape[1:]))
        return shape[1] if self.pooling == "average" else shape[-1]


def find_feature(
    model: Any, tensors: Mapping[str, np.ndarray], modality: str, *, steps: int = 0,
    single: bool = False, side: tuple[int, int] = (1, 1), where: str = "",
) -> Feature:  # fmt: skip
    """Return the feature of a model of which none was named.

    An output whose name says that it is an embedding; else what the last classifier reads, or the
    pooling that ends the network; for texts the last hidden state. `steps`: tokens of the trial
    example. `single`: the graph takes one clip and gives its frames. `side`: height and width of
    the pictures that it takes. Raises ModelError.
    """
    outputs = [value.name for value in model.graph.output]
    for known in EMBEDDINGS[modality]:
        for name in outputs:
            if name.lower().partition(":")[0] == known and name in tensors:
                if known == "pooler_output" and _untrained_pooler(model, name):
                    continue
                why = f"the output {name!r}"
                return _pooled(model, tensors, name, modality, single, side, why)
    first = next((name for name in outputs if _is_float(tensors.get(name))), None)
    if first is None:
        raise ModelError(
            f"{where} gives no numbers that could be features: its outputs are "
            f"{', '.join(map(repr, outputs[:SHOWN]))}. Name another tensor with '#'."
        )
    name, why = before_classifier(model, first, tensors)
    if modality == "text" and why.startswith("what") and tensors[name].ndim == 2:
        hidden = _last_hidden(model, name, tensors, steps)
        if hidden is not None:
            return Feature(hidden, "mean", f"the mean over the tokens of {hidden!r}")
    return _pooled(model, tensors, name, modality, single, side, why)


def named_feature(
    model: Any, tensors: Mapping[str, np.ndarray], name: str, modality: str, *,
    single: bool = False, side: tuple[int, int] = (1, 1), where: str = "",
) -> Feature:  # fmt: skip
    """Return the feature that a person named. Raises ModelError that lists the names there are."""
    if name not in tensors or not _is_float(tensors[name]):
        outputs = [value.name for value in model.graph.output]
        inner = [n for n, v in tensors.items() if n not in outputs and _could_be(v)][-SHOWN:]
        what = "is not a tensor of floating-point numbers" if name in tensors else "is not there"
        raise ModelError(
            f"{where}: the output {name!r} {what}; outputs: "
            f"{', '.join(map(repr, outputs[:SHOWN]))}; the last values inside that could serve: "
            f"{', '.join(map(repr, inner)) or 'none'}."
        )
    return _pooled(model, tensors, name, modality, single, side, f"{name!r}, as asked")


def before_classifier(
    model: Any, output: str, tensors: Mapping[str, np.ndarray]
) -> tuple[str, str]:
    """Walk back from `output` to what its classifier reads, or to the pooling that ends it."""
    made = {name: node for node in model.graph.node for name in node.output}
    name = output
    while name in made:
        node = made[name]
        data = [value for value in node.input if value in tensors and _is_float(tensors[value])]
        if node.op_type in CLASSIFIERS and len(data) == 1:
            return data[0], f"what the last layer reads, {data[0]!r}"
        if node.op_type in POOLED and _pools_all(tensors[name]):
            return name, f"the last pooling, {name!r}"
        if node.op_type not in PASSED or len(data) != 1:
            break
        name = data[0]
    return output, f"the output {output!r}"


def ancestors(model: Any, names: Collection[str]) -> tuple[list[Any], set[str]]:
    """Return the nodes that lead to `names`, in the graph's order, and every value they read."""
    needed = set(names)
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(reads(node))
    return kept[::-1], needed


def reads(node: Any) -> set[str]:
    """Return the values that a node reads, by its branches and loops too."""
    found = {name for name in node.input if name}
    for inner in messages(node, "NodeProto"):
        found.update(name for name in inner.input if name)
    for graph in messages(node, "GraphProto"):
        found.update(value.name for value in graph.output)
    return found


def cut(model: Any, names: Collection[str]) -> Any:
    """Return a copy of `model` that gives only `names`, without what they do not need.

    `names` are outputs, or values inside, whose types ONNX Runtime then infers by itself.
    """
    import onnx

    nodes, needed = ancestors(model, names)
    graph = model.graph
    own = {value.name: value for value in graph.output}
    made = onnx.GraphProto(name=graph.name)
    made.node.extend(nodes)
    made.initializer.extend(part for part in graph.initializer if part.name in needed)
    made.sparse_initializer.extend(
        part for part in graph.sparse_initializer if part.values.name in needed
    )
    made.input.extend(value for value in graph.input if value.name in needed)
    made.value_info.extend(value for value in graph.value_info if value.name in needed)
    made.output.extend(own.get(name) or onnx.ValueInfoProto(name=name) for name in names)
    whole = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name in {"opset_import", "functions", "metadata_props"}:
            getattr(whole, field.name).extend(value)
        elif field.name == "ir_version":
            whole.ir_version = value
    whole.graph.CopyFrom(made)
    return whole


def _pooled(
    model: Any, tensors: Mapping[str, np.ndarray], name: str, modality: str, single: bool,
    side: tuple[int, int], why: str,
) -> Feature:  # fmt: skip
    shape = tensors[name].shape
    if single:
        return Feature(name, "frames", why)
    if len(shape) == 4 and modality != "text":
        return Feature(name, "map" if _channels_last(shape, side) else "average", why)
    if len(shape) == 3:
        tokens = [part.name.rpartition(".")[2] for part in model.graph.initializer]
        first = modality == "image" and any(token in CLASS_TOKENS for token in tokens)
        return Feature(name, "cls" if first else "mean", why)
    return Feature(name, "flat", why)


def _channels_last(shape: tuple[int, ...], side: tuple[int, int]) -> bool:
    """Whether (1, a, b, c) is (1, h, w, c): a : b is nearer to the pictures' h : w than b : c."""
    a, b, c = (max(1, size) for size in shape[1:])
    wanted = math.log(side[0] / side[1])
    return abs(math.log(a / b) - wanted) < abs(math.log(b / c) - wanted)


def _pools_all(value: np.ndarray) -> bool:
    """Whether no height and width are left: (n, c) or (n, c, 1, 1)."""
    return value.ndim == 2 or (value.ndim > 2 and int(np.prod(value.shape[2:])) == 1)


def _last_hidden(
    model: Any, name: str, tensors: Mapping[str, np.ndarray], steps: int
) -> str | None:
    """Return the last value before `name` of one row a token, as wide as what follows."""
    _, needed = ancestors(model, [name])
    found = None
    for known, value in tensors.items():
        if known in needed and value.shape == (1, steps, tensors[name].shape[-1]):
            found = known if _is_float(value) else found
    return found


def _untrained_pooler(model: Any, name: str) -> bool:
    """Whether a BERT-like pooler (dense + tanh) gives it: often untrained."""
    made = [node.op_type for node in model.graph.node if name in node.output]
    others = {value.name for value in model.graph.output}
    return made == ["Tanh"] and "last_hidden_state" in others


def _is_float(value: np.ndarray | None) -> bool:
    return value is not None and value.ndim > 0 and np.issubdtype(value.dtype, np.floating)


def _could_be(value: np.ndarray) -> bool:
    return _is_float(value) and value.ndim in (2, 3, 4) and value.shape[0] == 1 and value.size > 1
