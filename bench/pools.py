"""Features and targets of whole shared data sets: what the evidence benchmark samples from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.cases import MINILM, MOBILENET, SHARED, YAMNET, digits_spoken
from headstart.adapt.featurisers import BackboneFeaturiser, SimpleFeaturiser
from headstart.data.dataset import Dataset, joined
from headstart.data.load import open_dataset
from headstart.sources import load
from headstart.sources.backbone import Backbone, with_module

MOST = 4000  # examples of one pool


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All examples of a data set, by the features of one model: (n, d) and targets (n,)."""

    name: str
    features: Any
    targets: np.ndarray
    classes: int


def data_of(name: str) -> Dataset:
    """Return all parts of a shared data set as one, shuffled, at most MOST examples."""
    folder = SHARED / "data" / name
    if name == "digits":
        found = np.load(folder / "mnist_train.npz")
        rows = np.random.default_rng(0).permutation(len(found["y"]))[:MOST]
        opened = open_dataset(found["x"][rows], target=found["y"][rows])
    elif name == "fsdd":
        opened = open_dataset(digits_spoken(), input="path", target="label")
    else:
        opened = open_dataset(folder)
    splits = opened.splits
    parts = [splits.train] + ([splits.validation] if splits.validation is not None else [])
    test = Dataset("test", splits.test.inputs, splits.test.targets.open(), splits.train.task)
    whole = parts[0]
    for part in [*parts[1:], test]:
        whole = joined(whole, part)
    rows = np.random.default_rng(0).permutation(len(whole))[:MOST]
    return whole.take(rows)


def model_of(data: Dataset, name: str) -> str:
    """Return the id of the model that a shared data set is tried with."""
    if name == "digits":
        return "starter:glyphs"
    return {"image": MOBILENET, "text": MINILM, "audio": YAMNET}[data.inputs.modality]


def pool(name: str, change: Callable[[Backbone], Backbone] | None = None) -> Pool:
    """Return the pool of a data set by its model; `change` may spoil the model first."""
    data = data_of(name)
    backbone = load(model_of(data, name))
    source = BackboneFeaturiser(change(backbone) if change else backbone)
    features = np.asarray(source.features(data.inputs), dtype=np.float32)
    return Pool(name, features, data.targets, data.task.outputs)


def simple_pool(name: str) -> Pool:
    """Return the pool of a data set by hand-made features."""
    data = data_of(name)
    simple = SimpleFeaturiser.fit(data.inputs, rng=np.random.default_rng(0))
    return Pool(name, simple.features(data.inputs), data.targets, data.task.outputs)


def scrambled(strength: float, seed: int) -> Callable[[Backbone], Backbone]:
    """Return a change that mixes noise into the early weights: 0 leaves them, 1 is noise alone.

    Early: the first half of the stages. Noise has the spread of the weights that it mixes with.
    """
    import copy

    import torch

    def change(backbone: Backbone) -> Backbone:
        module = copy.deepcopy(backbone.module)
        stages = backbone.stages[: max(1, len(backbone.stages) // 2)]
        early = {name for stage in stages for name in stage.parameters}
        made = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if name in early and weight.dim() > 1:
                    noise = torch.randn(weight.shape, generator=made) * weight.std()
                    weight.copy_((1 - strength) ** 0.5 * weight + strength**0.5 * noise)
        return with_module(backbone, module)

    return change
