"""One golden curve of every method and technique: as recorded, and falling.

`python tests/test_adapt_golden.py` records them anew.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapt_for_tests import Models, context
from headstart.adapt import BASELINES, Trained
from headstart.adapt import BUILTIN as METHODS
from headstart.adapt.baselines import FromScratch
from headstart.adapt.depth import UNFREEZE
from headstart.adapt.fewshot import FewShot
from headstart.adapt.finetune import FineTune
from headstart.adapt.method import Method
from headstart.adapt.probe import Probe
from headstart.adapt.probe.kinds import HEADS
from headstart.adapt.techniques import BUILTIN

pytestmark = pytest.mark.usefixtures("one_core")
GOLDEN = Path(__file__).parent / "data" / "golden_techniques.json"

BASE: dict[str, Any] = {
    "epochs": 6, "batch": 10, "metric": "loss", "patience": 9, "rate": 1e-3, "head_rate": 1e-2,
    "adapter_rate": 3e-3,
}  # fmt: skip
WRITTEN = {  # how a technique is written where its usual settings would not show, or has variants
    "l2-sp": "l2-sp:0.3",
    "l1": "l1:0.01",
    "rslora": "lora:rslora=true",
    "dora": "lora:dora=true",
}
FAMILY = {"drop-path": "convnext", "prompt": "bert", "prefix": "bert", "few-shot": "bert",
          "from scratch": "resnet"}  # fmt: skip
TUNED: dict[str, Method] = {
    **{
        name: FineTune(**BASE, unfreeze="together", techniques=(WRITTEN.get(name, name),))
        for name in (*(kind.name for kind in BUILTIN), "rslora", "dora")
    },
    "gradual": FineTune(
        **{**BASE, "epochs": 8, "rate": 1e-4}, unfreeze="gradual", shape="one-cycle"
    ),
    "head-first": FineTune(**BASE, unfreeze="head-first"),
    "last-first": FineTune(**BASE, unfreeze="last-first"),
    "together": FineTune(**BASE, unfreeze="together"),
    "head alone": FineTune(**BASE, depth="head"),
    "one-cycle": FineTune(**BASE, unfreeze="together", shape="one-cycle"),
    "layer-wise decay": FineTune(**BASE, unfreeze="together", decay=0.3),
    "few-shot": FewShot(passes=6, batch=20, folds=2, rate=3e-3),
    "from scratch": FromScratch(epochs=6, batch=10),
}
# A probe has no steps; its curve is that of the out-of-fold loss from strong settings to mild ones.
STRENGTHS, NEIGHBOURS = (100.0, 1.0, 0.1, 0.03), (34, 21, 8, 5)
PROBED = tuple(f"probe {head.name}" for head in HEADS)
EVERY = (*TUNED, *PROBED)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


def golden(models: Models, name: str) -> dict[str, Any]:
    """Return what is recorded: losses and validation losses, an epoch each, and some outputs.

    Losses are those of the weights that move: an average of weights (EMA) shows in validation, and
    one of checkpoints (soup) in the outputs alone.
    """
    family = FAMILY.get(name, "vit")
    # Some labels are wrong: else the head that it starts from knows its examples by heart.
    given = context(models.shared(family), "classification", count=60, noise=0.3)
    if name in TUNED:
        trained = TUNED[name].adapt(given)
        curve = trained.details.get("curve", [])
        losses = [e["loss"] for e in curve if "loss" in e] or trained.details["loss"]
        return facts(models, family, trained, losses, [entry["validation"] for entry in curve])
    losses = []
    for strength, neighbours in zip(STRENGTHS, NEIGHBOURS, strict=True):
        trained = Probe(
            head=name.removeprefix("probe "), strengths=(strength,), kernel_strengths=(strength,),
            neighbours=(neighbours,), scalings=("global",),
        ).adapt(given)  # fmt: skip
        losses.append(float(trained.details["out_of_fold_loss"]))
    return facts(models, family, trained, losses, [])


def facts(
    models: Models, family: str, trained: Trained, losses: list[float], held: list[float]
) -> dict[str, Any]:
    parameters = models.shared(family).module.parameters()
    return {
        "weights": sum(float(p.detach().double().abs().sum()) for p in parameters),
        "losses": [round(loss, 7) for loss in losses],
        "validation": [round(loss, 7) for loss in held],
        "outputs": [round(float(value), 6) for value in trained.outputs[:3].ravel()],
    }


@pytest.mark.parametrize("name", EVERY)
def test_the_loss_falls_along_its_golden_curve(models: Models, name: str) -> None:
    if name in ("lora", "rslora", "dora", "ia3"):
        pytest.importorskip("peft")
    found = golden(models, name)
    first, *later = found["losses"]
    # Too mild a probe is worse again; few-shot's pairs are other ones at every step.
    last = (
        min(later)
        if name in PROBED
        else float(np.mean(later[-3:]))
        if name == "few-shot"
        else later[-1]
    )
    assert last < first, found["losses"]
    recorded = json.loads(GOLDEN.read_text())[name]
    if found["weights"] != pytest.approx(recorded["weights"], rel=1e-6):
        pytest.skip("this version of torch or transformers draws other random weights")
    for curve in ("losses", "validation"):
        np.testing.assert_allclose(found[curve], recorded[curve], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["outputs"], recorded["outputs"], rtol=5e-3, atol=2e-3)


def test_every_method_has_a_curve() -> None:
    recorded = json.loads(GOLDEN.read_text())
    assert set(recorded) == set(EVERY)
    assert {kind.name for kind in BUILTIN} | set(UNFREEZE) <= set(recorded)
    using = {method.name for method in (*METHODS, *BASELINES) if method.uses_model}
    assert using <= {method.name for method in TUNED.values()} | {"probe"}


def test_golden_curves_tell_techniques_apart() -> None:
    """Two techniques with the same curve and outputs would mean that one of them does nothing."""
    recorded = json.loads(GOLDEN.read_text())
    for one, other in combinations(recorded, 2):
        same = [
            len(recorded[one][what]) == len(recorded[other][what])
            and np.allclose(recorded[one][what], recorded[other][what], rtol=1e-3, atol=1e-4)
            for what in ("losses", "validation", "outputs")
        ]
        assert not all(same), (one, other)


if __name__ == "__main__":
    import os
    import tempfile

    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        os.environ["HEADSTART_CACHE"] = f"{place}/cache"
        made = Models(Path(place))
        everything = {name: golden(made, name) for name in EVERY}
    lines = [f" {json.dumps(name)}: {json.dumps(one)}" for name, one in everything.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
