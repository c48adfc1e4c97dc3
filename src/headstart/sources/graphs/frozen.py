"""An ONNX graph as a backbone that is run and never trained."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.modality.base import Decoded, InputSpec
from headstart.errors import ModelError
from headstart.sources.backbone import Backbone, BackboneCard, Batch, Stage, need_trainable
from headstart.sources.cards import read_card_facts
from headstart.sources.catalogue.match import informed
from headstart.sources.folder import wants_cls
from headstart.sources.graphs.feature import Feature, ancestors, cut, find_feature, named_feature
from headstart.sources.graphs.feeding import left_of, make_module, one_by_one
from headstart.sources.graphs.inputs import (
    Preparation,
    Taken,
    files_of,
    metadata,
    preparation_for,
    taken,
)
from headstart.sources.graphs.proving import one_at_a_time, settled, takes_two
from headstart.sources.graphs.read import read_graph
from headstart.sources.graphs.session import open_session, run_session
from headstart.sources.oneline import one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1  # raise when embeddings change for equal files: it is part of every fingerprint
FILE = "model.onnx"
CHOSEN = "headstart.feature"  # metadata of a saved graph: tensor and pooling, as JSON
KEPT = ("README*", "LICEN[CS]E*", "NOTICE*")


@dataclass(eq=False)  # not frozen only because Backbone's attributes are plain ones
class OnnxBackbone:
    """The part of an ONNX graph that leads to its feature; change none of its attributes.

    `module` has no parameters: its forward runs an ONNX Runtime session on the CPU. It cannot be
    trained, and has no stages. `graph`: what the session runs, serialised.
    """

    card: BackboneCard
    module: nn.Module
    width: int
    fingerprint: str
    spec: InputSpec
    feature: Feature
    preparation: Preparation
    graph: bytes
    origin: Path  # folder
    own_folder: bool  # that folder holds this model alone: its licence and README are the model's
    activations: tuple[int, int]  # bytes of the largest value in the trial, of how many numbers in
    stages: tuple[Stage, ...] = ()
    trainable: bool = False

    def preprocess(self, decoded: Sequence[Decoded]) -> Batch:
        """Turn decoded examples into a batch, as the model was trained to see them."""
        return self.preparation.run(decoded)

    def embed(self, batch: Batch) -> Tensor:
        """Return embeddings (n, width), float32 on the CPU; without a gradient."""
        embeddings: Tensor = self.module(**batch)
        return embeddings

    def reinitialised(self, seed: int) -> Backbone:
        """Raise ModelError: the weights of a graph cannot be drawn anew."""
        need_trainable(self)
        raise AssertionError("a graph said that it can be trained")

    def save(self, folder: Path, *, unchanged: bool = False) -> None:
        """Write model.onnx, cut to its feature, and preprocessing: what the source `onnx` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(self.graph)
        self.preparation.save(folder)
        if self.own_folder:
            for pattern in KEPT:
                for path in self.origin.glob(pattern):
                    if path.is_file():
                        shutil.copyfile(path, folder / path.name)

    def activation_bytes(self, batch: Batch) -> int:
        """Return about how many bytes the largest value of the graph takes for `batch`."""
        size, numbers = self.activations
        return int(size * max(1.0, next(iter(batch.values())).numel() / max(1, numbers)))


def open_graph(path: Path, *, id: str, source: str, output: str | None = None) -> OnnxBackbone:
    """Open the ONNX file at `path`; the feature is `output`, or is found.

    Raises MissingExtra, ModelNotFound, UnsafeWeights or ModelError.
    """
    model = read_graph(path)
    folder = files_of(path)
    taking = taken(model, folder, str(path))
    preparation = preparation_for(model, taking, folder, str(path))
    batch = preparation.run([preparation.run.example])
    tensors = _trial(model, taking, batch, path)
    feature = _feature(model, taking, tensors, batch, output, path)
    small = cut(model, [feature.tensor])
    taking = left_of(taking, small, f"{path}: the value {feature.tensor!r}")
    session = open_session(small.SerializeToString())
    feature = settled(session, taking, feature, batch, path)
    if taking.rows is None and not takes_two(session, taking, feature, batch):
        taking = one_at_a_time(small, taking)
        session = open_session(small.SerializeToString())
    _note_choice(small, feature)
    graph = small.SerializeToString(deterministic=True)
    width = feature.width(tensors[feature.tensor].shape)
    alone = len(list(folder.glob("*.onnx"))) <= 1
    facts = read_card_facts(folder) if alone else {}
    card = BackboneCard(
        id=id,
        source=source,
        modality=taking.modality,
        architecture=model.graph.name or "ONNX graph",
        parameters=_count(small),
        width=width,
        note="; ".join(
            filter(None, (f"frozen; the feature is {feature.why}", preparation.assumed))
        ),
        **{**facts, **_stated(model)},
    )
    return OnnxBackbone(
        card=informed(card, None),
        module=make_module(session, taking, feature),
        width=width,
        fingerprint=_fingerprint(graph, preparation),
        spec=preparation.run.spec,
        feature=feature,
        preparation=preparation,
        graph=graph,
        origin=folder,
        own_folder=alone,
        activations=(
            max(value.nbytes for value in tensors.values()), next(iter(batch.values())).numel()
        ),
    )  # fmt: skip


def _trial(model: Any, taking: Taken, batch: Batch, path: Path) -> dict[str, np.ndarray]:
    """Run one example, and return every value on the way, in the order of the graph."""
    import onnx

    nodes, _ = ancestors(model, [value.name for value in model.graph.output])
    names = list(dict.fromkeys(name for node in nodes for name in node.output if name))
    everything = onnx.ModelProto()
    everything.CopyFrom(model)
    listed = {value.name for value in model.graph.output}
    everything.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in listed
    )
    try:
        session = open_session(everything.SerializeToString(), plain=True)
        feeds = next(one_by_one(taking, batch))
        known = [value.name for value in session.get_outputs()]
        found = dict(zip(known, run_session(session, known, feeds), strict=True))
    except Exception as error:  # whatever ONNX Runtime says: the person must hear of it
        raise ModelError(
            f"{path} fails on what its preprocessing gives: {one_line(error)} "
            "Check its preprocessing files, or export it again."
        ) from None
    return {name: found[name] for name in names if isinstance(found.get(name), np.ndarray)}


def _feature(
    model: Any, taking: Taken, tensors: dict[str, np.ndarray], batch: Batch, output: str | None,
    path: Path,
) -> Feature:  # fmt: skip
    where, main = str(path), next(iter(batch.values()))
    said: dict[str, Any] = {"single": taking.single, "where": where}
    if taking.modality == "image":
        said["side"] = tuple(main.shape[2:])
    if output is not None:
        return named_feature(model, tensors, output, taking.modality, **said)
    chosen = metadata(model).get(CHOSEN)
    if chosen is not None:
        return _chosen(chosen, tensors, where)
    steps = taking.steps or main.shape[-1]
    found = find_feature(model, tensors, taking.modality, steps=steps, **said)
    if taking.modality == "text" and found.pooling == "mean" and wants_cls(files_of(path)):
        return replace(found, pooling="cls")
    return found


def _chosen(text: str, tensors: dict[str, np.ndarray], where: str) -> Feature:
    """Return the feature that a saved graph, or its maker, states."""
    try:
        stated = json.loads(text)
        feature = Feature(str(stated["tensor"]), str(stated["pooling"]), str(stated["why"]))
        feature.width(tensors[feature.tensor].shape)
    except (ValueError, KeyError, TypeError, IndexError):
        raise ModelError(
            f"{where}: its metadata {CHOSEN!r} names no feature of this graph. Export it again."
        ) from None
    return feature


def _note_choice(model: Any, feature: Feature) -> None:
    kept = [entry for entry in model.metadata_props if entry.key != CHOSEN]
    stated = {"tensor": feature.tensor, "pooling": feature.pooling, "why": feature.why}
    others = [(entry.key, entry.value) for entry in kept]
    del model.metadata_props[:]
    for key, value in [*others, (CHOSEN, json.dumps(stated))]:
        model.metadata_props.add(key=key, value=value)


def _stated(model: Any) -> dict[str, Any]:
    """Return the facts for a card that the file's own metadata states."""
    known = {key: value for key, value in metadata(model).items() if value}
    return {name: known[name] for name in ("pretrained_on", "licence") if name in known}


def _count(model: Any) -> int:
    import math

    import onnx

    weights = [part for part in model.graph.initializer if part.dims]
    whole = {onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL}
    return sum(math.prod(part.dims) for part in weights if part.data_type not in whole)


def _fingerprint(graph: bytes, preparation: Preparation) -> str:
    """Hash the cut graph, its choice of pooling inside, and what prepares its inputs."""
    mixed = hashlib.blake2b(f"headstart-onnx-{FORMAT}\0".encode(), digest_size=16)
    mixed.update(graph)
    for name, content in sorted(preparation.files.items()):
        mixed.update(name.encode())
        mixed.update(hashlib.blake2b(content).digest())
    return mixed.hexdigest()


__all__ = ["FILE", "OnnxBackbone", "open_graph"]
