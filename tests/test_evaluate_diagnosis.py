"""Diagnosis of fits: faults are planted in real training runs of tiny networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from headstart.evaluate import diagnose
from headstart.evaluate.diagnosis import doubted

GOOD = {"rate": 0.03, "steps": 400, "sep": 0.8}
FAULTS: dict[str, dict[str, Any]] = {
    "good": GOOD,
    "overfit": {"rate": 0.1, "steps": 2000, "n": 60, "width": 128, "sep": 0.35},
    "underfit": {"rate": 0.02, "steps": 60, "sep": 0.8, "momentum": 0.5, "decay": False},
    "diverged": {"rate": 1e6, "steps": 100, "sep": 1.0},
    "rate too high": {"rate": 0.4, "steps": 600, "sep": 0.6, "decay": False},
    "rate too low": {"rate": 1e-4, "steps": 400, "sep": 0.8, "momentum": 0.0},
}


def trained(
    seed: int, *, rate: float, steps: int, sep: float, n: int = 3000, width: int = 64,
    momentum: float = 0.9, decay: bool = True,
) -> tuple[list[dict[str, float]], str]:  # fmt: skip
    """Train a network of one hidden layer on four clouds; returns its curve and how it ended."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(4, 20)) * sep

        def data(m: int) -> tuple[Any, Any]:
            y = rng.integers(0, 4, m)
            x = centres[y] + rng.normal(size=(m, 20))
            return torch.tensor(x, dtype=torch.float32), torch.tensor(y)

        (x, y), (held_x, held_y) = data(n), data(400)
        model = torch.nn.Sequential(
            torch.nn.Linear(20, width), torch.nn.ReLU(), torch.nn.Linear(width, 4)
        )
        optimiser = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
        curve: list[dict[str, float]] = []
        recent: list[float] = []
        for step in range(steps + 1):
            if step % max(1, steps // 25) == 0:
                with torch.no_grad():
                    out, mine = model(held_x), model(x)
                    entry = {
                        "step": float(step),
                        "validation": float(torch.nn.functional.cross_entropy(out, held_y)),
                        "accuracy": float((out.argmax(1) == held_y).float().mean()),
                        "train_accuracy": float((mine.argmax(1) == y).float().mean()),
                    }
                curve.append(entry | ({"loss": float(np.mean(recent))} if recent else {}))
                recent = []
            if decay:
                for group in optimiser.param_groups:
                    group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            batch = torch.randint(0, n, (32,))
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
            if not torch.isfinite(loss):
                return curve, f"diverged at step {step}"
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            recent.append(float(loss.detach()))
        return curve, "all steps"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_fault_is_named_first(fault: str, seed: int, one_core: None) -> None:
    curve, ended = trained(seed, **FAULTS[fault])
    found = diagnose(curve, ended=ended)
    assert found[0].name == fault, [(d.name, d.evidence) for d in found]
    assert found[0].evidence and found[0].remedy


def test_divergence_is_seen_without_being_told() -> None:
    exploding = [{"step": 10.0 * i, "loss": 2.0 * 3**i, "validation": 2.0} for i in range(5)]
    assert diagnose(exploding)[0].name == "diverged"
    nan = [{"step": 0, "loss": 1.0}, {"step": 5, "loss": float("nan")}]
    assert "no number at step 5" in diagnose(nan)[0].evidence


def test_short_and_empty_curves_say_little() -> None:
    assert diagnose([]) == []
    assert diagnose([{"step": 0, "validation": 1.0}])[0].name == "too short to tell"


def test_learning_nothing_is_underfit_where_chance_is_known() -> None:
    flat = [{"step": 10.0 * i, "loss": 1.38, "validation": 1.39} for i in range(12)]
    assert diagnose(flat, chance=np.log(4))[0].name == "underfit"


def test_a_climb_from_a_loss_near_nothing_ails_nobody() -> None:
    losses = (0.0015, 0.12, 0.09, 0.05, 0.02, 0.012)
    curve = [{"step": float(i), "loss": x, "validation": 0.1} for i, x in enumerate(losses)]
    assert diagnose(curve, chance=np.log(10))[0].name == "good"
    steep = [entry | {"loss": 10 * entry["loss"]} for entry in curve]
    assert diagnose(steep, chance=np.log(10))[0].name == "rate too high"


def test_accuracy_that_peaks_early_suggests_wrong_labels() -> None:
    curve = [
        {"step": i, "loss": 1.2 * 0.8**i, "validation": 0.9 + 0.05 * i, "accuracy": a}
        for i, a in enumerate((0.4, 0.7, 0.8, 0.79, 0.76, 0.74, 0.72, 0.71, 0.7, 0.7))
    ]
    assert diagnose(curve)[0].name == "label noise suspected"
    calm = [entry | {"accuracy": 0.8} for entry in curve]
    assert diagnose(calm)[0].name == "overfit"
    assert diagnose(calm, noise=0.2)[0].name == "label noise suspected"


def test_wrong_labels_are_doubted_and_right_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 3, 600)
    x = rng.normal(size=(600, 10)) + 1.2 * rng.normal(size=(3, 10))[clean]
    flipped = rng.random(600) < 0.15
    noisy = np.where(flipped, (clean + rng.integers(1, 3, 600)) % 3, clean)
    for labels, wrong in ((clean, np.zeros(600, bool)), (noisy, flipped)):
        held = cross_val_predict(LogisticRegression(), x, labels, cv=5, method="predict_proba")
        found = doubted(labels, held)
        if wrong.any():
            assert wrong[found].mean() > 0.9 and wrong[found].sum() > 0.6 * wrong.sum()
            assert len(found) / 600 > 0.08
        else:
            assert len(found) / 600 < 0.08
