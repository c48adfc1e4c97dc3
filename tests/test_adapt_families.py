"""Fine-tuning and each technique over all modalities, two families each, and every task."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapt_for_tests import FAMILIES, KINDS, Models, context
from headstart.adapt import Context, Trained
from headstart.adapt.baselines import FromScratch
from headstart.adapt.fewshot import FewShot
from headstart.adapt.finetune import FineTune
from headstart.adapt.method import Method
from headstart.adapt.probe import Probe
from headstart.adapt.technique import Mixes, Reshapes
from headstart.adapt.techniques import BUILTIN
from headstart.errors import UsageError
from headstart.testing.method import check_counted, check_frozen, check_saved

pytestmark = pytest.mark.usefixtures("one_core")
GOLDEN = Path(__file__).parent / "data" / "golden_techniques.json"

BASE: dict[str, Any] = {"epochs": 2, "batch": 8, "metric": "loss", "patience": 9}
METHODS: dict[str, Method] = {
    "probe": Probe(),
    "plain": FineTune(**BASE),
    "gradual": FineTune(
        **BASE, unfreeze="gradual", shape="one-cycle", accumulate=2, norm="trained"
    ),
    "head-first": FineTune(**BASE, unfreeze="head-first", norm="recalibrated", shape="linear"),
    "last-first": FineTune(**BASE, unfreeze="last-first"),
    "from scratch": FromScratch(epochs=2, batch=8),
}
RUNS = [  # fine-tuning meets every task in every family, its variants and the others each in turn
    (name, family, kind)
    for number, name in enumerate(METHODS)
    for at, family in enumerate(FAMILIES)
    for turn, kind in enumerate(KINDS)
    if name == "plain" or (number + at) % 3 == turn
]
ELSEWHERE = {"drop-path": ("convnext", "swin")}  # families that have what it needs


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


def holds(given: Context, trained: Trained, folder: Path, **may: Any) -> None:
    """Fail where something is not as any method must be."""
    count, task = len(given.data), given.data.task
    scores = trained.adapted.scores(given.data.inputs)
    assert scores.shape == ((count,) if task.name == "regression" else (count, task.outputs))
    assert np.isfinite(scores).all() and np.isfinite(trained.outputs).all()
    assert trained.outputs.shape == (len(trained.rows), task.outputs)
    assert set(trained.rows) <= set(range(count))
    assert 0 < trained.parameters["trained"] <= trained.parameters["total"]
    check_saved(given, trained, folder / "model")
    if "schedule" in trained.details:
        found = trained.adapted.outputs(given.data.take(trained.rows).inputs)
        span = np.abs(found - found.mean(axis=0)).max() + 1e-6
        np.testing.assert_allclose(found, trained.outputs, atol=0.1 * span)  # bf16 at most
        assert set(trained.rows) == set(given.validation)


@pytest.mark.parametrize(("name", "family", "kind"), RUNS, ids=["-".join(run) for run in RUNS])
def test_methods(models: Models, name: str, family: str, kind: str, tmp_path: Path) -> None:
    given = context(models(family), kind)
    trained = METHODS[name].adapt(given)
    holds(given, trained, tmp_path)
    check_frozen(given, trained)
    if name != "from scratch":
        check_counted(given, trained)
    if name != "plain" or kind == KINDS[list(FAMILIES).index(family) % 3]:
        again = METHODS[name].adapt(context(models(family), kind))
        np.testing.assert_array_equal(again.outputs, trained.outputs)
    if name == "plain" and kind == "classification":
        other = METHODS[name].adapt(replace(given, seed=5))
        assert not np.array_equal(other.outputs, trained.outputs)


HEADS = ("ridge", "svm", "rbf", "rbf-svm", "knn")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_heads_of_a_probe(models: Models, head: str, family: str, tmp_path: Path) -> None:
    """Every head over every family; the task in turn, where the head serves it."""
    kind = KINDS[(HEADS.index(head) + list(FAMILIES).index(family)) % 3]
    given = context(models(family), kind)
    try:
        trained = Probe(head=head).adapt(given)
    except UsageError as error:
        assert head in str(error) and kind in str(error)
        given = context(models(family), "classification")
        trained = Probe(head=head).adapt(given)
    holds(given, trained, tmp_path)
    check_frozen(given, trained)
    again = Probe(head=head).adapt(given)
    np.testing.assert_array_equal(again.outputs, trained.outputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_few_shot(models: Models, family: str, tmp_path: Path) -> None:
    given = context(models(family), "classification")
    method = FewShot(passes=2, batch=8, folds=2)
    trained = method.adapt(given)
    check_saved(given, trained, tmp_path / "model")
    assert set(trained.rows) == set(range(len(given.data)))
    assert 0 < trained.parameters["trained"] <= trained.parameters["total"]
    assert len(trained.details["loss"]) == trained.details["steps"]
    again = method.adapt(context(models(family), "classification"))
    np.testing.assert_array_equal(again.outputs, trained.outputs)


def applicable(kind: type[Any]) -> tuple[str, ...]:
    """Return the families that a technique is for."""
    if kind.name in ELSEWHERE:
        return ELSEWHERE[kind.name]
    if kind.name in ("prompt", "prefix"):
        return ("bert", "distilbert")
    if kind.name == "dropout":
        return ("vit", "bert", "distilbert", "ast")
    if kind.name == "norm-only":
        return ("vit", "resnet", "bert", "distilbert", "ast")  # YAMNet's are folded
    if isinstance(kind(), Mixes):
        return tuple(name for name, modality in FAMILIES.items() if modality in kind.modalities)
    return tuple(FAMILIES)


# Two families a modality, and every task in turn.
CASES = [
    (kind.name, family, KINDS[(number + at) % 3])
    for number, kind in enumerate(BUILTIN)
    for at, family in enumerate(applicable(kind))
]


@pytest.mark.parametrize(("name", "family", "task"), CASES, ids=["-".join(c) for c in CASES])
def test_techniques(models: Models, name: str, family: str, task: str, tmp_path: Path) -> None:
    if name in ("lora", "ia3"):
        pytest.importorskip("peft")
    if family in ("convnext", "swin") and not (models.base / family).exists():
        from sources_for_tests import write_model

        write_model(models.base / family, family)
    given = context(models(family), task)
    method = FineTune(**BASE, techniques=(name,), adapter_rate=1e-2)
    trained = method.adapt(given)
    holds(given, trained, tmp_path)
    assert trained.details["techniques"][0].partition(":")[0] == name
    kind = next(kind for kind in BUILTIN if kind.name == name)
    if isinstance(kind(), Reshapes) and name in trained.details["phases"][-1]["rates"]:
        moved = check_frozen(given, trained, lambda tensor: _may_move(name, tensor, given))
        assert bool(moved) == (name not in ("prompt", "prefix")) or not trained.details["best_step"]
    else:
        check_frozen(given, trained)
        check_counted(given, trained)
    if family == next(case[1] for case in CASES if case[0] == name):
        again = method.adapt(context(models(family), task))
        np.testing.assert_array_equal(again.outputs, trained.outputs)


def _may_move(name: str, tensor: str, given: Context) -> bool:
    """What a technique in place of the stages may change, by the names of tensors."""
    assert given.source is not None
    module = given.source.backbone.module
    owner, _, last = tensor.rpartition(".")
    if name == "bitfit":
        return last == "bias"
    if name == "norm-only":
        return "norm" in type(module.get_submodule(owner)).__name__.lower() and last in (
            "weight",
            "bias",
        )
    kind = type(module.get_submodule(owner)).__name__
    return name in ("lora", "ia3") and kind in ("Linear", "Conv2d")


# --- golden curves, and losses that fall ----------------------------------------------------------


VARIANTS: dict[str, Method] = {  # noise in the labels leaves them something to learn
    "gradual": FineTune(
        epochs=8, batch=10, metric="loss", patience=9, unfreeze="gradual", shape="one-cycle",
        rate=1e-4, head_rate=1e-2,
    ),
    "head-first": FineTune(
        epochs=6, batch=10, metric="loss", patience=9, unfreeze="head-first", rate=1e-3,
        head_rate=1e-2,
    ),
    "last-first": FineTune(
        epochs=6, batch=10, metric="loss", patience=9, unfreeze="last-first", rate=1e-3,
        head_rate=1e-2,
    ),
    "from scratch": FromScratch(epochs=6, batch=10),
    "one-cycle": FineTune(
        epochs=6, batch=10, metric="loss", patience=9, shape="one-cycle", rate=1e-3, head_rate=1e-2
    ),
    **{
        name: FineTune(
            epochs=6, batch=10, metric="loss", patience=9, techniques=(spec,), head_rate=1e-2,
            adapter_rate=3e-3,
        )
        for name, spec in (("rslora", "lora:rslora=true"), ("dora", "lora:dora=true"))
    },
}  # fmt: skip


def golden(models: Models, name: str) -> tuple[str, list[float], list[float]]:
    """Return the family that a method is recorded on, its losses, an epoch each, and some outputs.

    Averages of weights (EMA, soup) show in the outputs alone.
    """
    if name in VARIANTS:
        family = "resnet" if name == "from scratch" else "vit"
        given = context(models(family), "classification", count=60, noise=0.3)
        return family, *curve_of(VARIANTS[name].adapt(given))
    kind = next(kind for kind in BUILTIN if kind.name == name)
    family = applicable(kind)[0] if name in ELSEWHERE else (
        "vit" if "vit" in applicable(kind) else "bert"
    )  # fmt: skip
    if family == "convnext" and not (models.base / family).exists():
        from sources_for_tests import write_model

        write_model(models.base / family, family)
    method = FineTune(
        epochs=6, batch=10, metric="loss", patience=9, rate=1e-3,
        techniques=(STRONG.get(name, name),),
        head_rate=1e-2, adapter_rate=3e-3, unfreeze="together",
    )  # fmt: skip
    # Some labels are wrong: else the head that it starts from knows its examples by heart.
    trained = method.adapt(context(models(family), "classification", count=60, noise=0.3))
    return family, *curve_of(trained)


STRONG = {"l2-sp": "l2-sp:0.3", "l1": "l1:0.01"}  # so that they show


def curve_of(trained: Trained) -> tuple[list[float], list[float]]:
    losses = [entry["loss"] for entry in trained.details["curve"] if "loss" in entry]
    return losses, [round(float(value), 6) for value in trained.outputs[:3].ravel()]


def weights(models: Models, family: str) -> float:
    module = models(family).module
    return sum(float(p.detach().double().abs().sum()) for p in module.parameters())


@pytest.mark.parametrize("name", [*(kind.name for kind in BUILTIN), *VARIANTS])
def test_the_loss_falls_along_its_golden_curve(models: Models, name: str) -> None:
    """As recorded; `python tests/test_adapt_families.py` records them anew."""
    if name in ("lora", "ia3", "rslora", "dora"):
        pytest.importorskip("peft")
    family, losses, outputs = golden(models, name)
    assert losses[-1] < losses[0], losses
    recorded = json.loads(GOLDEN.read_text())[name]
    if weights(models, family) != pytest.approx(recorded["weights"], rel=1e-6):
        pytest.skip("this version of torch or transformers draws other random weights")
    np.testing.assert_allclose(losses, recorded["losses"], rtol=1e-3, atol=1e-4)
    if name in ("ema", "soup"):  # what they change: which weights are kept
        np.testing.assert_allclose(outputs, recorded["outputs"], rtol=5e-3, atol=1e-3)


def test_golden_curves_tell_techniques_apart() -> None:
    """Two techniques with the same curve and outputs would mean that one of them does nothing."""
    recorded = json.loads(GOLDEN.read_text())
    found = [(name, one["losses"][:4], one["outputs"]) for name, one in recorded.items()]
    for at, (name, losses, outputs) in enumerate(found):
        for other, theirs, other_outputs in found[at + 1 :]:
            same = np.allclose(losses, theirs, rtol=1e-3, atol=1e-4)
            assert not (same and np.allclose(outputs, other_outputs, rtol=5e-3, atol=1e-3)), (
                name, other,
            )  # fmt: skip


if __name__ == "__main__":
    import os
    import tempfile

    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        os.environ["HEADSTART_CACHE"] = f"{place}/cache"
        made = Models(Path(place))
        facts = {}
        for name in (*(kind.name for kind in BUILTIN), *VARIANTS):
            family, losses, outputs = golden(made, name)
            print(name, family, [round(loss, 4) for loss in losses])
            facts[name] = {
                "weights": weights(made, family), "losses": losses, "outputs": outputs,
            }  # fmt: skip
    GOLDEN.write_text(json.dumps(facts, indent=1) + "\n")
