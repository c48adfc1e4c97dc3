"""Extraction: once per content, resumable, and by an engine that must agree with fp32."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart.sources as sources
from headstart.data.dataset import Unlabelled
from headstart.errors import DataError, ModelError, RunError
from headstart.features import batches, extract
from headstart.features.engine import Eager, Run, choose, lowest_cosine
from headstart.features.extract import Extractor
from headstart.sources.backbone import Backbone, with_module
from runs_for_tests import reviews
from sources_for_tests import examples, write_model

pytestmark = pytest.mark.usefixtures("one_core")


def texts(count: int, *, seed: int = 0) -> Unlabelled:
    items = reviews(count, seed=seed)[0]
    found = [hashlib.blake2b(item.encode(), digest_size=16).digest() for item in items]
    return Unlabelled("text", items, [f"row {n}" for n in range(count)],
                      np.frombuffer(b"".join(found), np.uint8).reshape(-1, 16))  # fmt: skip


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return sources.load(str(write_model(tmp_path_factory.mktemp("m") / "bert", "bert")))


def slowly(backbone: Backbone, inputs: Unlabelled) -> np.ndarray:
    """One example at a time, without any of the machinery."""
    with torch.no_grad():
        return np.concatenate(
            [backbone.embed(backbone.preprocess([item])).numpy() for item in inputs.items]
        )


class Watched:
    """A backbone that counts the examples that run through it, and may break on the way."""

    def __init__(self, backbone: Backbone, break_after: float = float("inf")) -> None:
        for name in ("card", "module", "width", "fingerprint", "stages", "spec", "trainable"):
            setattr(self, name, getattr(backbone, name))
        self._inner, self.count, self._limit = backbone, 0, break_after

    def preprocess(self, decoded: Any) -> Any:
        return self._inner.preprocess(decoded)

    def embed(self, batch: Any) -> Any:
        self.count += len(next(iter(batch.values())))
        if self.count > self._limit:
            raise KeyboardInterrupt
        return self._inner.embed(batch)


def test_features_are_those_of_one_at_a_time_in_any_order(bert: Backbone, tmp_path: Path) -> None:
    inputs = texts(70)
    table = Extractor(bert, engine="fp32", root=tmp_path).table(inputs)
    expected = slowly(bert, inputs)
    np.testing.assert_allclose(table.features, expected, atol=1e-5)
    assert (table.extracted, len(table), table.engine) == (70, 70, "fp32")
    order = np.random.default_rng(0).permutation(70)
    again = Extractor(bert, engine="fp32", root=tmp_path / "fresh").table(inputs.take(order))
    np.testing.assert_allclose(again.features, expected[order], atol=1e-5)


def test_nothing_runs_twice(bert: Backbone, tmp_path: Path) -> None:
    inputs = texts(40)
    first = Extractor(bert, root=tmp_path).table(inputs)
    watched = Watched(bert)
    more = texts(60)
    table = Extractor(watched, root=tmp_path).table(more.take(np.arange(59, -1, -1)))  # type: ignore[arg-type]
    assert table.extracted == 20
    assert watched.count <= 20 + 12  # a few more to choose an engine by
    np.testing.assert_array_equal(table.features[::-1][:40], first.features)


def test_duplicates_run_once_and_share_their_features(bert: Backbone, tmp_path: Path) -> None:
    inputs = texts(10).take(np.array([0, 1, 2, 0, 0, 1, 3]))
    table = Extractor(bert, root=tmp_path).table(inputs)
    assert table.extracted == 4
    np.testing.assert_array_equal(table.features[[3, 4]], table.features[[0, 0]])


def test_a_stopped_extraction_goes_on_with_what_is_missing(
    bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "SHARD_SECONDS", 0.0)
    monkeypatch.setattr(batches, "TEXTS", 16)
    inputs = texts(160)
    broken = Watched(bert, break_after=110)
    with pytest.raises(KeyboardInterrupt):
        Extractor(broken, engine="fp32", root=tmp_path).table(inputs)  # type: ignore[arg-type]
    table = Extractor(bert, engine="fp32", root=tmp_path).table(inputs)
    assert 32 <= table.extracted <= 160 - 64, "whole shards were kept"
    whole = Extractor(bert, engine="fp32", root=tmp_path / "fresh").table(inputs)
    np.testing.assert_allclose(table.features, whole.features, atol=1e-5)


def test_other_weights_and_engines_have_features_of_their_own(
    bert: Backbone, tmp_path: Path
) -> None:
    inputs = texts(8)
    other = bert.reinitialised(3)
    one = Extractor(bert, engine="fp32", root=tmp_path).table(inputs)
    two = Extractor(other, engine="fp32", root=tmp_path).table(inputs)
    assert one.key != two.key and two.extracted == 8
    assert np.abs(one.features - two.features).max() > 1e-3
    assert len(list(tmp_path.iterdir())) == 2


@dataclass(frozen=True)
class Fake:
    """An engine whose features are off by noise of some size."""

    name: str
    noise: float

    def build(self, backbone: Backbone) -> Run | None:
        if self.noise < 0:
            return None  # of no use here
        plain = Eager("fp32", bf16=False).build(backbone)
        assert plain is not None

        def run(batch: Any) -> np.ndarray:
            features = plain(batch)
            noise = np.random.default_rng(0).normal(0, 1, features.shape)
            return (features + self.noise * features.std() * noise).astype(np.float32)

        return run


def test_an_engine_that_disagrees_is_refused(bert: Backbone) -> None:
    sample = bert.preprocess(examples("text"))
    plain = Eager("fp32", bf16=False)
    engines = [Fake("absent", -1), Fake("wrong", 2.0), Fake("good", 1e-3), plain]
    choice = choose(bert, sample, engines)
    assert choice.name == "good" and choice.agreement > 0.995
    assert set(choice.refused) == {"wrong"} and choice.refused["wrong"] < 0.995
    choice = choose(bert, sample, [Fake("wrong", 2.0), Fake("nan", float("nan")), plain])
    assert choice.name == "fp32" and choice.refused["nan"] == -1.0
    np.testing.assert_array_equal(choice.run(sample), plain.build(bert)(sample))  # type: ignore[misc]


def test_the_extractor_uses_the_engine_that_agrees(
    bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Eager("fp32", bf16=False)
    monkeypatch.setattr(extract, "BUILTIN", (Fake("wrong", 2.0), plain))
    extractor = Extractor(bert, root=tmp_path)
    inputs = texts(12)
    np.testing.assert_allclose(extractor.table(inputs).features, slowly(bert, inputs), atol=1e-5)
    assert extractor.engine == "fp32"


def test_lowest_cosine_is_the_worst_row() -> None:
    one = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    other = np.array([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert lowest_cosine(one, other) == pytest.approx(np.sqrt(0.5))
    assert lowest_cosine(one, other * np.array([[np.nan], [1], [1]])) == -1


def test_the_callers_module_stays_in_float32(bert: Backbone, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in bert.module.state_dict().items()}
    Extractor(bert, root=tmp_path).table(texts(8))
    after = bert.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert {p.dtype for p in bert.module.parameters()} == {torch.float32}


def test_errors_say_what_and_where(bert: Backbone, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no examples"):
        Extractor(bert, root=tmp_path).table(texts(4).take(np.empty(0, int)))
    with pytest.raises(ModelError, match=r"takes text.*data is image.*--model"):
        Extractor(bert, root=tmp_path).table(replace(texts(4), modality="image"))
    broken = sources.load(bert.card.id)
    with torch.no_grad():
        next(broken.module.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        Extractor(with_module(broken, broken.module), root=tmp_path).table(texts(4))
    assert not list(tmp_path.rglob("*.npy"))


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    backbone = sources.load(str(write_model(tmp_path / "vit", "vit")))
    gone = Unlabelled("image", [tmp_path / "gone.jpg"], ["gone.jpg"], np.zeros((1, 16), np.uint8))
    with pytest.raises(DataError, match=r"gone\.jpg could be read before"):
        Extractor(backbone, root=tmp_path / "store").table(gone)


def test_a_full_disk_is_a_run_error_that_names_the_store(
    bert: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> Iterator[None]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(RunError, match=r"feature store.*No space left.*HEADSTART_CACHE"):
        Extractor(bert, root=tmp_path).table(texts(4))
