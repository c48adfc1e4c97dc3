"""What ails a training is said in the record; when asked, the remedy is tried."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import headstart
from headstart.adapt import FineTune, Probe
from headstart.errors import UsageError
from headstart.records import Diagnosis
from headstart.run.remedy import REMEDIES, diagnosis_of, remedied
from headstart.testing.method import MethodConformance

pytestmark = pytest.mark.usefixtures("one_core")


class Suite(MethodConformance):
    method = FineTune()


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> headstart.Run:
    """A run whose fine-tuning has a rate that cannot work, with --auto-remedy."""
    digits = load_digits(n_class=4)
    images = (digits.images[:260] * 15.9).astype(np.uint8)
    return headstart.transfer(
        (images, digits.target[:260]), method="finetune", out=tmp_path_factory.mktemp("run") / "r",
        settings={"finetune.rate": 1e25, "finetune.epochs": 2}, auto_remedy=True, budget=120,
    )  # fmt: skip


def test_the_run_says_what_was_wrong_and_tries_the_remedy(diverged: headstart.Run) -> None:
    results = {result.name: result for result in diverged.record.results}
    first = results["finetune: starter:glyphs"]
    again = results["finetune: starter:glyphs (remedied)"]
    assert [d.name for d in first.diagnosis] == ["diverged"]
    notes = " ".join(diverged.record.notes)
    assert "diverged" in notes and "Once more, with the remedy" in notes
    rate = max(r for p in again.details["phases"] for n, r in p["rates"].items() if n != "head")
    assert rate == pytest.approx(1e24)
    assert not results["probe: starter:glyphs"].diagnosis


def test_the_recipe_has_the_schedule_that_was_resolved(diverged: headstart.Run) -> None:
    recipe = tomllib.loads((diverged.path / "recipe.toml").read_text())
    schedule = recipe["methods"]["finetune"]["schedule"]
    assert sum(phase["share"] for phase in schedule) == pytest.approx(1.0)
    assert all("head" in phase["rates"] for phase in schedule)
    assert recipe["auto_remedy"] is True


def trained(kind: str = "classification", **settings: Any) -> Any:
    context = Suite().context(kind)
    return context, FineTune(**({"epochs": 1, "batch": 8} | settings)).adapt(context)


def test_every_remedy_changes_settings_that_fine_tuning_has() -> None:
    context, made = trained()
    for name in REMEDIES:
        found = remedied(FineTune(), made, [Diagnosis(name=name, evidence="", remedy="")])
        assert found is not None and found[0] != FineTune(), name
        assert name in found[1]
    assert remedied(Probe(), made, [Diagnosis(name="overfit", evidence="", remedy="")]) is None
    good = [Diagnosis(name="good", evidence="", remedy="")]
    assert remedied(FineTune(), made, good) is None
    assert diagnosis_of(made, context.data)


def test_the_rate_is_mended_from_what_was_used() -> None:
    _, made = trained(rate=0.02)
    slow = remedied(FineTune(), made, [Diagnosis(name="rate too high", evidence="", remedy="")])
    assert slow is not None and isinstance(slow[0], FineTune)
    assert slow[0].rate == pytest.approx(0.006)


def test_settings_that_cannot_be_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    for settings, words in (
        ({"finetun.epochs": 1}, "finetun"),
        ({"finetune.epoch": 1}, "epoch"),
        ({"finetune.epochs": 0}, "epochs"),
        ({"finetune.techniques": ["nothing"]}, "nothing"),
        ({"epochs": 1}, "names no method"),
    ):
        with pytest.raises(UsageError, match=words):
            headstart.transfer("nowhere", settings=settings, out=tmp_path / "out")
    with pytest.raises(UsageError, match="known: auto, probe"):
        headstart.transfer("nowhere", method="magic", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
