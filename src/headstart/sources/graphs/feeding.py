"""From a batch to the arrays that a graph takes, and from its output to embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ModelError
from headstart.sources.backbone import Batch
from headstart.sources.graphs.feature import Feature
from headstart.sources.graphs.inputs import Given, Taken
from headstart.sources.graphs.session import run_session

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, np.ndarray]  # by the batch's names, n first
SOUNDS = ("input_values", "input_features")


def left_of(taking: Taken, model: Any, where: str) -> Taken:
    """Return what is still fed to `model`, a graph that was cut to the value `where` names.

    Raises ModelError where that value does not depend on the example.
    """
    names = {value.name for value in model.graph.input}
    if taking.main.name not in names:
        raise ModelError(
            f"{where} does not depend on the input {taking.main.name!r}, so it is no feature of an "
            "example. Name another with '#'."
        )
    return replace(taking, inputs=tuple(one for one in taking.inputs if one.name in names))


def make_module(session: Any, taking: Taken, feature: Feature) -> nn.Module:
    """Return a torch module without parameters: its forward takes a Batch, gives (n, width)."""
    import torch

    class Graph(torch.nn.Module):
        def forward(self, **batch: Any) -> torch.Tensor:
            return torch.from_numpy(embeddings(session, taking, feature, batch))

        def __deepcopy__(self, memo: Any) -> Graph:
            return self  # it has no state that could change, and a session cannot be copied

    return Graph().eval()


def embeddings(session: Any, taking: Taken, feature: Feature, batch: Batch) -> np.ndarray:
    """Return embeddings (n, width) float32, each as if the example were alone."""
    rows, parts = [], []
    for chosen, arrays in _groups(taking, batch):
        for part, feeds, mask in _runs(taking, arrays):
            (found,) = run_session(session, [feature.tensor], feeds)
            pooled = pool(feature, found, mask)
            if len(pooled) != len(next(iter(feeds.values()))) and not taking.single:
                raise ModelError(
                    f"The value {feature.tensor!r} of the ONNX graph has {len(pooled)} rows for "
                    f"{len(part)} examples, so it is no feature of each. Name another with '#'."
                )
            rows.append(chosen[part])
            parts.append(pooled[: len(part)])
    order = np.argsort(np.concatenate(rows))
    return np.ascontiguousarray(np.concatenate(parts)[order], dtype=np.float32)


def one_by_one(taking: Taken, batch: Batch) -> Iterator[Arrays]:
    """Yield what the graph is fed, for the first examples that it takes at once, and so on."""
    for _, arrays in _groups(taking, batch):
        for _, feeds, _ in _runs(taking, arrays):
            yield feeds


def pool(feature: Feature, found: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return (n, width) of a graph's output. `mask` (n, t): 1 where a step counts."""
    values: np.ndarray = found.astype(np.float32)
    if feature.pooling == "frames":
        values = values.reshape(-1, values.shape[-1]).mean(axis=0, keepdims=True)
    elif feature.pooling == "average":
        values = values.reshape(*values.shape[:2], -1).mean(axis=2)
    elif feature.pooling == "map":
        values = values.reshape(len(values), -1, values.shape[-1]).mean(axis=1)
    elif feature.pooling == "cls":
        values = values[:, 0]
    elif feature.pooling == "mean":
        values = _mean(values, mask)
    return values.reshape(len(values), -1)


def _mean(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    if mask is None or mask.shape[1] != values.shape[1]:
        mask = np.ones(values.shape[:2], np.float32)
    weights = mask[:, :, None].astype(np.float32)
    mean: np.ndarray = (values * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)
    return mean


def _groups(taking: Taken, batch: Batch) -> Iterator[tuple[np.ndarray, Arrays]]:
    """Yield (rows, arrays), examples of one length together where padding would be seen.

    It would where the graph takes no mask, and for sounds: how far their padding spreads through
    convolutions, no mask says.
    """
    arrays = {name: value.detach().cpu().numpy() for name, value in batch.items()}
    count = len(next(iter(arrays.values())))
    mask = arrays.get("attention_mask")
    masked = any(one.role == "attention_mask" for one in taking.inputs)
    if mask is None or mask.all() or taking.modality == "image" or \
            (taking.modality == "text" and masked):  # fmt: skip
        yield np.arange(count), arrays
        return
    lengths = mask.sum(axis=1)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        yield (
            rows,
            {
                name: value[rows, :length] if value.shape[:2] == mask.shape else value[rows]
                for name, value in arrays.items()
            },
        )


def _runs(taking: Taken, arrays: Arrays) -> Iterator[tuple[np.ndarray, Arrays, np.ndarray | None]]:
    """Yield (rows, feeds, mask) of so many examples at once as the graph takes."""
    count = len(next(iter(arrays.values())))
    most = taking.rows or count
    for start in range(0, count, most):
        rows = np.arange(start, min(start + most, count))
        # A graph for n examples gets n: the last one again in the place of those that lack.
        filled = np.append(rows, np.repeat(rows[-1:], most - len(rows)))
        chosen = {name: value[filled] for name, value in arrays.items()}
        feeds, mask = _feeds(taking, chosen)
        yield rows, feeds, mask


def _feeds(taking: Taken, arrays: Arrays) -> tuple[Arrays, np.ndarray | None]:
    mask = arrays.get("attention_mask")
    if taking.modality == "image":
        main = _picture(taking, arrays["pixel_values"])
    elif taking.modality == "text":
        main = arrays["input_ids"]
    else:
        main = next(arrays[name] for name in SOUNDS if name in arrays)
    feeds = {one.name: _fed(taking, one, main, arrays) for one in taking.inputs}
    return feeds, None if mask is None else _long(mask, taking.steps)


def _fed(taking: Taken, one: Given, main: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return one input of the graph, in its shape and type."""
    if one is taking.main:
        value = main
    elif one.role == "position_ids":
        value = np.broadcast_to(np.arange(main.shape[1]), main.shape)
    elif one.role in arrays:
        value = arrays[one.role]
    else:
        value = np.ones_like(main) if one.role == "attention_mask" else np.zeros_like(main)
    value = _long(value, taking.steps)
    if value.ndim + 1 == len(one.dims):
        value = value[:, None]
    if len(one.dims) == 1:
        value = value[0]
    if one.dtype.kind in "ui" and value.dtype.kind == "f":
        value = np.rint(value)
    return np.ascontiguousarray(value.astype(one.dtype, copy=False))


def _picture(taking: Taken, pixels: np.ndarray) -> np.ndarray:
    """Turn (n, 3, h, w) into the order and colours that the graph takes."""
    if taking.bgr:
        pixels = pixels[:, ::-1]
    if taking.colours == 1:
        pixels = pixels.mean(axis=1, keepdims=True)
    return pixels.transpose(0, 2, 3, 1) if taking.channels == 3 else pixels


def _long(value: np.ndarray, steps: int | None) -> np.ndarray:
    """Cut or pad (n, …, t) with zeros to so many steps."""
    if steps is None or value.shape[-1] == steps:
        return value
    value = value[..., :steps]
    lacking = [(0, 0)] * (value.ndim - 1) + [(0, steps - value.shape[-1])]
    return np.pad(value, lacking)
