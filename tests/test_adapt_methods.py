"""Every built-in method and baseline through the conformance suite, and what sets each apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headstart.sources as sources
from headstart.adapt import BASELINES, BUILTIN
from headstart.adapt.baselines import FromScratch, Majority, Simple
from headstart.adapt.fewshot import FewShot
from headstart.adapt.finetune import FineTune
from headstart.adapt.method import Method
from headstart.adapt.probe import Probe
from headstart.adapt.unadapted import Unadapted
from headstart.sources.backbone import Backbone
from headstart.testing.method import MethodConformance
from sources_for_tests import write_headed, write_model

pytestmark = pytest.mark.usefixtures("one_core")


class OfTiny(MethodConformance):
    """On a backbone so small that training takes no time."""

    close = 0.0  # on one core

    folder: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _tiny(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.folder = write_model(tmp_path_factory.mktemp("tiny") / "vit", "vit")

    def backbone(self) -> Backbone:
        return sources.load(str(self.folder))


class TestProbe(OfTiny):
    method = Probe(strengths=(1.0, 0.1, 0.01))


class TestProbeThatChooses(OfTiny):
    method = Probe(head="auto", strengths=(0.1, 0.01), kernel_strengths=(0.01, 0.001))


class TestProbeOfNeighbours(OfTiny):
    method = Probe(head="knn", calibrate="isotonic")


class TestFineTune(OfTiny):
    method = FineTune(epochs=1, batch=8)


class TestFewShot(OfTiny):
    method = FewShot(passes=1, batch=8, folds=2)
    kinds = ("classification",)


class TestMajority(OfTiny):
    method = Majority()


class TestSimple(OfTiny):
    method = Simple()


class TestFromScratch(OfTiny):
    method = FromScratch(epochs=1, batch=8)


class TestUnadapted(OfTiny):
    method = Unadapted()
    kinds = ("classification",)
    learns = False

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _tiny(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        labels = ("square", "round", "Lying", "STANDING")
        cls.folder = write_headed(tmp_path_factory.mktemp("headed") / "vit", labels)


class MethodOfGlyphs(MethodConformance):
    method = FineTune()


def test_every_built_in_is_tested_here() -> None:
    here = {kind.method.name for kind in OfTiny.__subclasses__()}
    assert {method.name for method in (*BUILTIN, *BASELINES)} <= here


@pytest.mark.parametrize("method", [Probe(), FewShot(), FineTune(), FromScratch()])
def test_a_method_without_its_backbone_says_so(method: Method) -> None:
    suite = TestMajority()
    with pytest.raises(ValueError, match="backbone"):
        method.adapt(suite.context("classification"))


def test_majority_is_the_frequency_of_the_other_folds() -> None:
    context, trained = TestMajority().adapted("classification")
    scores = trained.adapted.scores(context.data.inputs)
    np.testing.assert_allclose(scores[0], [1 / 3] * 3, atol=1e-6)
    context, trained = TestMajority().adapted("regression")
    assert context.folds is not None
    assert trained.adapted.scores(context.data.inputs)[0] == pytest.approx(
        context.data.targets.mean(), rel=1e-6
    )
    for row in range(5):
        others = context.data.targets[context.folds.inside(int(context.folds.of[row]))]
        assert trained.outputs[row, 0] == pytest.approx(others.mean())
    assert trained.adapted.name == "mean"


def test_probe_and_fine_tuning_start_from_one_function() -> None:
    """At steps of no size, fine-tuning is the probe of its training rows."""
    context = MethodOfGlyphs().context("classification")
    still = FineTune(epochs=1, batch=8, rate=1e-12, head_rate=1e-12).adapt(context)
    rows = context.training
    part = replace(context, data=context.data.take(rows), validation=np.arange(3))
    assert context.source is not None
    features = context.source.features(part.data.inputs)
    from headstart.adapt.folds import plan
    from headstart.compute.randomness import rng_for

    folds = plan(part.data, None, rng=rng_for(0, "head"))
    fitted = Probe(calibrate=False).fit(features, part.data.targets, part.data.task, folds)
    expected = fitted.head.outputs(context.source.features(context.data.inputs))
    np.testing.assert_allclose(still.adapted.outputs(context.data.inputs), expected, atol=1e-3)


def test_a_small_training_learns_the_training_examples() -> None:
    context = MethodOfGlyphs().context("classification")
    trained = FromScratch(epochs=12, batch=8).adapt(context)
    rows = context.training
    found = trained.adapted.scores(context.data.inputs)[rows].argmax(axis=1)
    assert (found == context.data.targets[rows]).mean() > 0.8
    losses = [entry["loss"] for entry in trained.details["curve"] if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]
    assert trained.parameters["trained"] == trained.parameters["total"]


def test_a_training_that_diverges_keeps_the_best_and_says_so() -> None:
    heard: list[str] = []
    context = replace(MethodOfGlyphs().context("classification"), say=heard.append)
    trained = FineTune(epochs=4, batch=8, rate=1e30, head_rate=1e30).adapt(context)
    assert "diverged" in trained.details["ended"]
    assert any("diverged at step" in line and "kept" in line for line in heard)
    scores = trained.adapted.scores(context.data.inputs)
    assert np.isfinite(scores).all()
    assert trained.details["best_step"] == 0
    rows = context.training  # the probe that it started from
    assert (scores[rows].argmax(axis=1) == context.data.targets[rows]).mean() > 0.8
