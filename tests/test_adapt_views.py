"""Augmented views: the same whenever they are asked for, and cached at the boundary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart.adapt.boundary as boundary
import headstart.adapt.progressing as progressing
from adapt_for_tests import Models
from adapt_for_tests import context as adaptation
from headstart.adapt.boundary import Plain
from headstart.adapt.feed import Feed
from headstart.adapt.finetune import FineTune
from headstart.data.augment import parse
from headstart.sources.backbone import Backbone
from headstart.testing.method import MethodConformance
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")


class Suite(MethodConformance):
    method = FineTune()
    folder: Any = None

    def backbone(self) -> Backbone:
        import headstart.sources as sources

        return sources.load(str(self.folder))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    made = Suite()
    made.folder = write_model(tmp_path_factory.mktemp("views") / "vit", "vit")
    return made


def feed_of(suite: Suite, views: int) -> Feed:
    chain = parse("flip,rotate:15", "image")
    return Feed(suite.backbone(), suite.inputs(), augment=chain, views=views, seed=3)


def test_views_are_new_pictures_and_the_same_again(suite: Suite) -> None:
    kept, fresh = feed_of(suite, 2), feed_of(suite, 0)
    rows = np.arange(4)
    clean = kept.batch(rows)["pixel_values"]
    first = kept.batch(kept.seen(rows, 0))["pixel_values"]
    assert not torch.equal(first, clean)
    assert torch.equal(first, kept.batch(kept.seen(rows, 2))["pixel_values"])  # 2 views, in turn
    assert not torch.equal(first, kept.batch(kept.seen(rows, 1))["pixel_values"])
    assert torch.equal(first, fresh.batch(fresh.seen(rows, 0))["pixel_values"])
    assert not torch.equal(first, fresh.batch(fresh.seen(rows, 2))["pixel_values"])
    assert len(kept.every_view(rows)) == 8 and not len(fresh.every_view(rows))
    for feed in (kept, fresh):
        feed.close()


@pytest.mark.parametrize("augment", ["", "flip,rotate:15"])
def test_training_from_the_boundary_is_the_uncached_training(
    suite: Suite, augment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last block and the head, with the front's outputs kept, and without."""
    method = FineTune(
        epochs=3, batch=8, depth=1, unfreeze="together", augment=augment, views=2, patience=9,
        rate=1e-3,
    )  # fmt: skip
    context = suite.context("classification")
    cached = method.adapt(context)
    assert cached.details["boundaries"]["all stages"]["boundary"] == "block.1"
    monkeypatch.setattr(
        progressing, "source_for", lambda feed, *_: (Plain(feed), {"boundary": "not asked for"})
    )
    plain = method.adapt(context)
    assert plain.details["boundaries"]["all stages"] == {"boundary": "not asked for"}
    np.testing.assert_allclose(cached.outputs, plain.outputs, atol=1e-5)
    losses = [[entry["loss"] for entry in one.details["losses"]] for one in (cached, plain)]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


def test_a_clip_of_more_patches_than_the_sample_had_is_trained_on_uncached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """YAMNet flattens patches: a batch with one long clip has more rows than clips."""
    given = adaptation(Models(tmp_path)("yamnet"), "classification")
    items = given.data.inputs.items
    items[:] = [(clip[: rate // 2], rate) for clip, rate in items]  # one patch each
    row = int(given.training[-1])
    items[row] = (np.tile(items[row][0], 6), items[row][1])
    method = FineTune(epochs=1, batch=8, depth=1, unfreeze="together", patience=9, rate=1e-3)
    made = method.adapt(given)
    why = made.details["boundaries"]["all stages"]["boundary"]
    assert why == "not cached: the model mixes examples on the way"
    monkeypatch.setattr(progressing, "source_for", lambda feed, *_: (Plain(feed), {}))
    np.testing.assert_array_equal(made.outputs, method.adapt(given).outputs)


@pytest.mark.parametrize("family", ["vit", "bert", "ast"])
def test_a_head_alone_trains_on_embeddings_that_are_made_once(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step runs the backbone; what comes out is what running it every time gives."""
    given = adaptation(Models(tmp_path)(family), "classification")
    method = FineTune(epochs=4, batch=8, unfreeze="head-first", first=0.5, rate=1e-3, patience=9)
    cached = method.adapt(given)
    assert cached.details["boundaries"]["head"] == {"boundary": "head"}
    monkeypatch.setattr(progressing, "source_for", lambda feed, *_: (Plain(feed), {}))
    plain = method.adapt(given)
    assert plain.details["boundaries"] == {}
    np.testing.assert_allclose(cached.outputs, plain.outputs, rtol=1e-3, atol=1e-4)
    monkeypatch.undo()
    calls: list[int] = []
    original = boundary.End.capture

    def counted(end: boundary.End, inputs: Any) -> torch.Tensor:
        calls.append(len(next(iter(inputs.values()))))
        return original(end, inputs)

    monkeypatch.setattr(boundary.End, "capture", counted)
    alone = FineTune(epochs=4, batch=8, depth="head", patience=9).adapt(given)
    assert sum(calls) == len(given.data) and alone.details["steps"] > 4


def test_views_keep_their_labels(suite: Suite) -> None:
    """A training on views alone still learns; with labels mixed up it could not."""
    context = suite.context("classification")
    method = FineTune(epochs=6, batch=8, augment="rotate:5", views=2, patience=9, rate=1e-3)
    losses = [entry["loss"] for entry in method.adapt(context).details["losses"]]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
