"""Every method over all modalities, two families each, and every task.

Techniques: test_adapt_families_techniques.py; recorded curves: test_adapt_golden.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapt_for_tests import FAMILIES, KINDS, Models, context, few_strengths, holds
from headstart.adapt import BASELINES, BUILTIN
from headstart.adapt.baselines import FromScratch
from headstart.adapt.depth import UNFREEZE
from headstart.adapt.fewshot import FewShot
from headstart.adapt.finetune import FineTune, rate_for
from headstart.adapt.method import Method
from headstart.adapt.probe import Probe
from headstart.adapt.probe.kinds import HEADS
from headstart.errors import UsageError
from headstart.testing.method import check_counted, check_frozen

pytestmark = pytest.mark.usefixtures("one_core")

BASE: dict[str, Any] = {"epochs": 1, "batch": 8, "metric": "loss", "patience": 9}
FEW: dict[str, Any] = {"strengths": (0.1, 0.01), "kernel_strengths": (0.01,), "gammas": (1.0,)}
METHODS: dict[str, Method] = {
    **{f"probe {head.name}": Probe(head=head.name, **FEW) for head in HEADS},
    "probe auto": Probe(head="auto", calibrate="isotonic", **FEW),
    "few-shot": FewShot(passes=1, batch=12, folds=2),
    "plain": FineTune(**BASE),
    "last-first": FineTune(**BASE, unfreeze="last-first", weight_decay=0.1),
    "head-first": FineTune(**BASE, unfreeze="head-first", norm="recalibrated", shape="linear"),
    "gradual": FineTune(**{**BASE, "epochs": 2}, unfreeze="gradual", norm="trained", accumulate=2),
    "head alone": FineTune(**BASE, depth="head"),
    "one-cycle": FineTune(**BASE, shape="one-cycle", warm_up=0.3),
    "layer-wise decay": FineTune(**BASE, decay=0.5, unfreeze="together", depth="all"),
    "from scratch": FromScratch(epochs=2, batch=8),
}  # fmt: skip
RUNS = [(name, family, kind) for name in METHODS for family in FAMILIES for kind in KINDS]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    made = Models(tmp_path_factory.mktemp("models"))
    with few_strengths():
        yield made
    assert made.untouched() == list(made.opened), "a method changed what it was given"


def test_no_method_is_left_out() -> None:
    here = {method.name for method in METHODS.values()}
    using = {m.name for m in (*BUILTIN, *BASELINES) if m.uses_model}
    assert here == using - {"unadapted"}  # needs a model with classes: tests/test_adapt_methods.py
    orders = {getattr(method, "unfreeze", None) for method in METHODS.values()}
    assert set(UNFREEZE) <= orders


@pytest.mark.parametrize(("name", "family", "kind"), RUNS, ids=["-".join(run) for run in RUNS])
def test_methods(models: Models, name: str, family: str, kind: str, tmp_path: Path) -> None:
    given, method = context(models.shared(family), kind), METHODS[name]
    if name == "few-shot" and kind != "classification":
        with pytest.raises(UsageError, match=f"is for classification, the task is {kind}; use"):
            method.adapt(given)
        return
    trained = method.adapt(given)
    holds(given, trained, tmp_path)
    check_frozen(given, trained)
    if name == "from scratch":
        assert trained.parameters["trained"] == trained.parameters["total"]
    elif method.trains and name != "few-shot":
        check_counted(given, trained)
    turn = list(METHODS).index(name) + list(FAMILIES).index(family)
    if turn % 3 == 0 and kind == ("classification" if name == "few-shot" else KINDS[turn // 3 % 3]):
        again = method.adapt(context(models.shared(family), kind))
        np.testing.assert_array_equal(again.outputs, trained.outputs)
    if name == "plain" and kind == "classification":
        other = method.adapt(replace(given, seed=5))
        assert not np.array_equal(other.outputs, trained.outputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_few_shot_moves_as_many_parameters_as_it_says(models: Models, family: str) -> None:
    given = context(models.shared(family), "classification")
    trained = METHODS["few-shot"].adapt(given)
    rates = trained.details["schedule"][0]["rates"]
    sizes = {n: v.numel() for n, v in models.shared(family).module.named_parameters()}
    stages = [s for s in models.shared(family).stages if s.name in rates]
    assert trained.parameters["trained"] == sum(sizes[n] for s in stages for n in s.parameters)
    still = {stage.name for stage in models.shared(family).stages} - set(rates)
    assert still == ({"stem"} if FAMILIES[family] == "text" else set())


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_decay_by_stage(models: Models, family: str) -> None:
    """From the last stage on, each learns half as fast as the next; the head has its own rate."""
    backbone = models.shared(family)
    method = METHODS["layer-wise decay"]
    assert isinstance(method, FineTune)
    phase = method.phases(backbone, context(backbone, "classification"), 4)[-1]
    back = reversed([stage.name for stage in backbone.stages])
    expected = {name: rate_for(backbone) * 0.5**steps for steps, name in enumerate(back)}
    if FAMILIES[family] == "text":
        expected.pop("stem")  # embeddings stand still
    assert phase.rates == pytest.approx(expected | {"head": method.head_rate})


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_alone_never_runs_the_backbone_in_a_step(models: Models, family: str) -> None:
    """However many steps there are, the whole model runs as often: to cache, measure and ask."""

    def runs(epochs: int) -> tuple[int, int]:
        backbone = models(family)
        calls: list[int] = []
        handle = backbone.module.register_forward_pre_hook(lambda module, args: calls.append(1))
        method = FineTune(**{**BASE, "epochs": epochs}, depth="head", head_rate=1e-3)
        trained = method.adapt(context(backbone, "regression"))
        handle.remove()
        return len(calls), int(trained.details["steps"])

    (few, short), (many, long) = runs(2), runs(12)
    assert long > 4 * short and few == many > 0
