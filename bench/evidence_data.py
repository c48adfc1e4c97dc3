"""Populations with known values, models of known ability, and rows of the evidence benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from bench.pools import Pool
from bench.table import Row
from headstart.adapt.folds import Folds
from headstart.adapt.probe import Probe
from headstart.data.task import Task
from headstart.evaluate.crossval import plan_folds
from headstart.evaluate.measure import measure
from headstart.evaluate.metrics import metric
from headstart.records import TaskFacts

SIZE = 100_000  # of a population
QUICK = Probe(strengths=tuple(map(float, np.logspace(0, -5, 9))), scalings=("column",))


def within(what: str, share: float, low: float, high: float, note: str = "") -> Row:
    """Return the row of a share that must lie in [low, high]; the ratio is 1 or more there."""
    ratio = min(share / low if low else np.inf, high / share if share else np.inf)
    theirs = high if low == 0 else (low + high) / 2
    return Row(
        what=what, ours=share, theirs=theirs, ratio=round(float(min(ratio, 99)), 9), target=1.0,
        unit="", note=note,
    )  # fmt: skip


def reaches(what: str, share: float, least: float | None, note: str = "") -> Row:
    """Return the row of a share that must be at least `least`; None where it only informs."""
    bound = 0.95 if least is None else least
    return Row(
        what=what, ours=share, theirs=bound, ratio=share / bound,
        target=None if least is None else 1.0, unit="", note=note,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Scores of two models on so many examples that their metrics count as true values."""

    name: str
    task: TaskFacts
    truth: np.ndarray
    scores: np.ndarray
    rival: np.ndarray
    true: dict[str, float]
    gap: float  # of the primary metric, positive where `scores` is better than `rival`
    known: dict[str, float] = field(default_factory=dict)

    def extra(self, name: str, compute: Callable[[], float]) -> float:
        if name not in self.known:
            self.known[name] = compute()
        return self.known[name]


def _population(
    name: str, task: TaskFacts, truth: np.ndarray, scores: np.ndarray, rival: np.ndarray
) -> Population:
    true, theirs = measure(task, truth, scores), measure(task, truth, rival)
    sign = 1 if metric(task.primary).larger_is_better else -1
    gap = sign * (true[task.primary] - theirs[task.primary])
    return Population(name, task, truth, scores, rival, true, gap)


def populations(rng: np.random.Generator) -> Iterator[Population]:
    """Yield populations: balanced and rare classes, several labels, numbers with uneven noise."""
    metrics = (
        "accuracy", "balanced_accuracy", "f1_macro", "matthews", "roc_auc", "average_precision",
        "log_loss",
    )  # fmt: skip
    for name, shares, lift in (
        ("3 classes", (1 / 3, 1 / 3, 1 / 3), 1.6),
        ("rare class", (0.6, 0.3, 0.1), 2.0),
    ):
        task = TaskFacts("classification", ("a", "b", "c"), metrics)
        truth = rng.choice(3, SIZE, p=shares)
        noise = rng.normal(size=(2, SIZE, 3))
        pair = [_softmax(1.3 * (lift * np.eye(3)[truth] + one)) for one in noise]
        pair[1] = _softmax(np.log(pair[1]) + 0.7 * np.log(pair[0]))
        yield _population(name, task, truth, pair[0], pair[1])
    task = TaskFacts(
        "multi-label", ("x", "y", "z"), ("f1_micro", "f1_samples", "average_precision")
    )
    truth = (rng.random((SIZE, 3)) < (0.5, 0.3, 0.2)).astype(np.int8)
    noise = rng.normal(size=(2, SIZE, 3)) + rng.normal(size=(SIZE, 1)) * 0.5
    pair = [1 / (1 + np.exp(-(one + 1.5 * (2.0 * truth - 1)))) for one in noise]
    yield _population("3 labels", task, truth, pair[0], pair[1])
    task = TaskFacts("regression", ("y",), ("r2", "mae", "rmse"))
    number = rng.normal(size=SIZE) + 0.3 * rng.normal(size=SIZE) ** 2
    errors = rng.normal(size=(3, SIZE)) * (0.3 + 0.2 * np.abs(number))
    yield _population(
        "numbers",
        task,
        number,
        number + errors[0] + errors[2],
        number + 1.3 * errors[1] + errors[2],
    )


def _softmax(outputs: np.ndarray) -> np.ndarray:
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    found: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return found


@cache
def _bar(accuracy: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(accuracy))


def correlated(
    n: int, first: float, second: float, shared: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth (n,) and scores (n, 3) of two models of those accuracies.

    shared: correlation of what makes an example hard for each; 0 means independent errors.
    """
    truth = rng.integers(0, 3, n)
    hard = rng.normal(size=n) * shared**0.5
    made = []
    for accuracy in (first, second):
        right = hard + rng.normal(size=n) * (1 - shared) ** 0.5 < _bar(accuracy)
        said = np.where(right, truth, (truth + rng.integers(1, 3, n)) % 3)
        sure = rng.uniform(0.4, 1.0, n)[:, None]
        made.append(np.where(np.eye(3)[said] > 0, sure, (1 - sure) / 2))
    return truth, made[0], made[1]


def fitted(one: Pool, train: np.ndarray, rng: np.random.Generator) -> Any:
    """Return the head of a probe on rows `train` of a pool."""
    task = Task.of("classification", tuple(map(str, range(one.classes))))
    targets = one.targets[train]
    folds = Folds(plan_folds(targets, min(5, len(train) // 2), rng=rng)[0])
    return QUICK.fit(one.features[train], targets, task, folds).head


def probe_scores(one: Pool, train: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return probabilities (m, k) on rows `rest` by a probe that was fitted on rows `train`."""
    head = fitted(one, train, np.random.default_rng(0))
    return _softmax(head.outputs(one.features[rest]))
