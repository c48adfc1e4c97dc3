"""Contrastive tuning for few labels: the loss, the batches, and what it does to classes."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

import headstart.adapt.fewshot as fewshot
from adapt_for_tests import dataset
from headstart.adapt.contrast import even_batches, pairs
from headstart.adapt.fewshot import FewShot
from headstart.adapt.probe import Probe
from headstart.data.dataset import Dataset
from headstart.data.task import Task
from headstart.errors import TooFewExamples, UsageError
from headstart.testing.method import MethodConformance

pytestmark = pytest.mark.usefixtures("one_core")


class Suite(MethodConformance):
    method = FewShot(passes=6, batch=12, folds=2)


def test_the_loss_is_that_of_a_slow_loop_over_pairs() -> None:
    features = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 0, 2, 1, 0, 2])
    within, between = [], []
    for i in range(7):
        for j in range(i + 1, 7):
            cosine = torch.nn.functional.cosine_similarity(features[i], features[j], dim=0)
            if targets[i] == targets[j]:
                within.append((cosine - 1) ** 2)
            else:
                between.append(cosine**2)
    expected = (torch.stack(within).mean() + torch.stack(between).mean()) / 2
    torch.testing.assert_close(pairs(features, targets), expected)


def test_one_class_or_one_example_a_class_has_a_loss_too() -> None:
    features = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    for targets in ([0, 0, 0], [0, 1, 2]):
        loss = pairs(features, torch.tensor(targets))
        loss.backward()
        assert torch.isfinite(loss)
    assert pairs(features[:1], torch.tensor([0])).item() == 0.0


def test_batches_are_even_in_classes_and_use_everything() -> None:
    targets = np.asarray([0] * 20 + [1] * 4 + [2])
    rows = np.arange(25)
    found = list(islice(even_batches(rows, targets, 9, np.random.default_rng(0)), 12))
    assert set(np.concatenate(found)) == set(rows)
    for batch in found:
        assert len(set(batch)) == len(batch) and (np.diff(batch) > 0).all()
        assert (targets[batch] == 0).sum() == 3  # as many as of each other class


def test_classes_come_together_and_nothing_global_moves() -> None:
    suite = Suite()
    context = suite.context("classification")
    assert context.source is not None
    before = context.source.features(context.data.inputs)
    trained = FewShot(passes=8, batch=16, folds=2).adapt(context)
    after = trained.adapted.featuriser.features(context.data.inputs)
    targets = torch.from_numpy(context.data.targets)
    loss = [float(pairs(torch.from_numpy(np.array(x)), targets)) for x in (before, after)]
    assert loss[1] < 0.8 * loss[0]
    assert len(trained.rows) == len(context.data)  # every example was held out in turn
    assert trained.details["loss"][-1] < trained.details["loss"][0]


def test_steps_leave_time_to_ask_about_all_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 1 s, two folds and the whole: a third of 80 s for each training."""
    monkeypatch.setattr(fewshot, "pace", lambda *_: 1.0)
    context = Suite().context("classification")
    trained = FewShot(passes=50, batch=8, folds=2).adapt(replace(context, seconds=80.0))
    asking = len(context.data) / 8 / 3
    assert trained.details["steps"] == int(80 / 3 - asking) < trained.details["steps_planned"]
    assert trained.details["ended"] == "time"
    whole = FewShot(passes=2, batch=8, folds=2).adapt(replace(context, seconds=80.0))
    assert whole.details["ended"] == "all steps"


def test_held_out_answers_do_not_know_their_own_labels() -> None:
    """With labels that mean nothing, held out accuracy is chance; in the fit it would be 1."""
    suite = Suite()
    context = suite.context("classification")
    rng = np.random.default_rng(3)
    shuffled = replace(context.data, targets=rng.permutation(context.data.targets))
    trained = FewShot(passes=10, batch=16, folds=3).adapt(replace(context, data=shuffled))
    right = (trained.outputs.argmax(axis=1) == shuffled.targets).mean()
    assert right < 0.65


def test_it_is_left_out_where_it_has_nothing_to_say() -> None:
    suite = Suite()
    data = suite.context("classification").data
    rows = np.arange(len(data))
    assert "known to help texts" in str(FewShot().unsuited(data, rows))
    texts = replace(data, inputs=replace(data.inputs, modality="text"))
    assert FewShot().unsuited(texts, rows) is None
    with pytest.raises(UsageError, match="probe or finetune"):
        FewShot().adapt(suite.context("regression"))
    assert Probe().name != FewShot().name
    with pytest.raises(UsageError, match="passes"):
        FewShot(passes=0)


def test_groups_that_hold_a_class_each_are_learned_from_and_not_held_out() -> None:
    suite = Suite()
    context = suite.context("classification")
    data = context.data.take(np.flatnonzero(context.data.targets < 2))
    data = replace(data, task=Task.of("classification", data.task.labels[:2]))
    text = replace(data, inputs=replace(data.inputs, modality="text"))
    rows = np.arange(len(data))

    def grouped(names: np.ndarray, some: Dataset = data) -> Dataset:
        return replace(some, groups=names.astype(str).astype(object))

    mixed = np.where(data.targets == 0, 0, 1 + rows // 2 % 2)  # class 0 is all of one group
    trained = FewShot(passes=2, batch=8).adapt(
        replace(context, data=grouped(mixed), folds=None, validation=rows[:0])
    )
    assert trained.rows.tolist() == np.flatnonzero(data.targets == 1).tolist()
    assert FewShot().unsuited(grouped(mixed, text), rows) is None
    for names in (data.targets, np.zeros(len(data))):  # a class each; one for all
        assert "no two classes" in str(FewShot().unsuited(grouped(names, text), rows))
        with pytest.raises(TooFewExamples, match="two classes and other groups"):
            FewShot().adapt(replace(context, data=grouped(names), folds=None))


def test_asking_about_many_examples_has_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 9 s for 8 examples: asking one takes 0.375 s. Half of 60 s: 80 of 240."""
    monkeypatch.setattr(fewshot, "pace", lambda *_: 9.0)
    told: list[str] = []
    context = Suite().context("classification")
    data = dataset("image", "classification", 240)
    context = replace(context, data=data, folds=None, seconds=180.0, say=told.append)
    method = FewShot(passes=1, batch=8, folds=2)
    trained = method.adapt(context)
    assert trained.details["examples"] == len(trained.rows) == 78  # of 2 folds of 3 classes 13.3
    assert set(np.bincount(data.targets[trained.rows])) == {26}  # every class as its share
    assert "78 of 240 examples" in told[0] and "--budget" in told[0]
    assert np.array_equal(method.adapt(context).rows, trained.rows)
    whole = method.adapt(replace(context, seconds=1800.0))
    assert len(whole.rows) == 240 and len(told) == 2
