"""Small data of every modality, and what a method is given to adapt a tiny model to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart.sources as sources
from headstart.adapt import Context, Trained, carve, plan
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.probe import Probe
from headstart.data.dataset import Dataset, Unlabelled
from headstart.data.task import Task
from headstart.sources.backbone import Backbone
from headstart.testing.method import check_saved
from sources_for_tests import write_model

COUNT = 30
RATE = 16000  # Hz
KINDS = ("classification", "multi-label", "regression")
FAMILIES = {  # two of every modality: attention and convolutions, where there are both
    "vit": "image", "resnet": "image", "bert": "text", "distilbert": "text",
    "ast": "audio", "yamnet": "audio",
}  # fmt: skip
FILLING = ("film", "plot", "and", "of", "it", "very")
MEANING = ("good bright", "bad dull", "not is was")


def write_family(folder: Path, family: str) -> Path:
    """Write a tiny model; YAMNet's architecture is Headstart's own."""
    if family != "yamnet":
        return write_model(folder, family)
    import torch

    from headstart.sources import architectures
    from headstart.sources.architectures.yamnet import YamnetConfig, YamnetModel
    from headstart.sources.architectures.yamnet_frontend import YamnetFeatureExtractor

    architectures.register_all()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        YamnetModel(YamnetConfig(widths=[4, 8, 12], strides=[2, 2, 2])).save_pretrained(folder)
    YamnetFeatureExtractor().save_pretrained(folder)
    return folder


def inputs(modality: str, count: int = COUNT) -> Unlabelled:
    """Return `count` different examples; thirds of them look, read or sound alike."""
    rng = np.random.default_rng(0)
    makers = {"image": _picture, "text": _text, "audio": _clip}
    items = [makers[modality](number % 3, rng) for number in range(count)]
    raw = [item.encode() if isinstance(item, str) else np.asarray(item).tobytes() for item in items]
    if modality == "audio":
        items = [(item, RATE) for item in items]
    digests = [hashlib.blake2b(item, digest_size=16).digest() for item in raw]
    names = [f"example {number}" for number in range(count)]
    return Unlabelled(
        modality, items, names, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    )


def _picture(kind: int, rng: np.random.Generator) -> np.ndarray:
    pixels = rng.integers(0, 90, (24, 24), dtype=np.uint8)
    at = int(rng.integers(4, 12))
    pixels[(slice(at, at + 4), slice(None), slice(at, at + 8))[kind]] = 230
    if kind == 1:
        pixels[:, at : at + 4] = 230
    return pixels


def _text(kind: int, rng: np.random.Generator) -> str:
    before, after = (list(rng.choice(FILLING, rng.integers(1, 6))) for _ in range(2))
    return " ".join([*before, MEANING[kind], *after])


def _clip(kind: int, rng: np.random.Generator) -> np.ndarray:
    times = np.arange(int(rng.integers(16000, 17000))) / RATE
    tone = np.sin(2 * np.pi * (300, 900, 2700)[kind] * times)
    return (0.3 * tone + rng.normal(0, 0.02, len(times))).astype(np.float32)


def dataset(modality: str, kind: str, count: int = COUNT, noise: float = 0.0) -> Dataset:
    """Return data of a task that the examples' thirds decide; a share `noise` of them is wrong."""
    examples = inputs(modality, count)
    third = np.arange(count) % 3
    wrong = np.random.default_rng(3).random(count) < noise
    third = np.where(wrong, (third + 1) % 3, third)
    if kind == "classification":
        return Dataset("made", examples, third, Task.of(kind, ("a", "b", "c")))
    if kind == "multi-label":
        targets = np.stack([third != 0, third == 2], axis=1).astype(np.int8)
        return Dataset("made", examples, targets, Task.of(kind, ("one", "two")))
    spread = np.random.default_rng(2).normal(0, 0.5, count)
    return Dataset("made", examples, 100.0 + 20.0 * third + spread, Task.of(kind, ("size",)))


def context(
    backbone: Backbone, kind: str, *, seed: int = 0, count: int = COUNT, noise: float = 0.0
) -> Context:
    """Return what a method is given."""
    data = dataset(backbone.card.modality, kind, count, noise)
    rng = np.random.default_rng(1)
    validation = carve(data, 0.3, rng=rng)
    folds = plan(data, None, rng=rng)
    source = BackboneFeaturiser(backbone)
    return Context(
        data=data, folds=folds, validation=validation, seed=seed, seconds=1e6, source=source
    )


@dataclass
class Models:
    """Tiny models, written once and opened anew for everybody; `shared`: opened once, too."""

    base: Path
    _open: dict[str, Backbone] = field(default_factory=dict)

    def __call__(self, family: str) -> Backbone:
        folder = self.base / family
        if not folder.exists():
            write_family(folder, family)
        return sources.load(str(folder))

    def shared(self, family: str) -> Backbone:
        """Return one that all share who leave it as it is; `untouched` says whether they did."""
        if family not in self._open:
            self._open[family] = self(family)
        return self._open[family]

    @property
    def opened(self) -> tuple[str, ...]:
        """The families that are shared."""
        return tuple(self._open)

    def untouched(self) -> list[str]:
        """Return the families whose shared model still has every weight of its file."""
        fresh = {family: self(family).module.state_dict() for family in self._open}
        return [
            family for family, model in self._open.items()
            if all(torch_equal(v, fresh[family][n]) for n, v in model.module.state_dict().items())
        ]  # fmt: skip


def torch_equal(one: Any, other: Any) -> bool:
    import torch

    return torch.equal(one, other)


def holds(given: Context, trained: Trained, folder: Path) -> None:
    """Fail where something is not as any method must be; saves and loads the model, too."""
    count, task = len(given.data), given.data.task
    scores = trained.adapted.scores(given.data.inputs)
    assert scores.shape == ((count,) if task.name == "regression" else (count, task.outputs))
    assert np.isfinite(scores).all() and np.isfinite(trained.outputs).all()
    assert trained.outputs.shape == (len(trained.rows), task.outputs)
    assert set(trained.rows) <= set(range(count))
    assert 0 < trained.parameters["trained"] <= trained.parameters["total"]
    check_saved(given, trained, folder / "model")
    if "boundaries" in trained.details:  # trained by gradient, and chosen by validation rows
        found = trained.adapted.outputs(given.data.take(trained.rows).inputs)
        span = np.abs(found - found.mean(axis=0)).max() + 1e-6
        np.testing.assert_allclose(found, trained.outputs, atol=0.1 * span)  # bf16 at most
        assert set(trained.rows) == set(given.validation)


@contextmanager
def few_strengths() -> Iterator[None]:
    """Let fine-tuning start from a head of 3 strengths, not 33: half of a tiny training's time."""
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(Probe, strengths=(1.0, 0.1, 0.01))
        patch.setattr("headstart.adapt.finetune.Probe", quick)
        yield
