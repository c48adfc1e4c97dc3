"""100 regularisation strengths x 5 folds on (5,000, 1,280) features in 10 classes.

Against scikit-learn's GridSearchCV over LogisticRegression, on the same folds. theirs runs every
tenth strength and its time is multiplied by ten: in full it would take the better part of an hour.
"""

from __future__ import annotations

import time
import warnings

import numpy as np

from bench.table import Row, faster
from headstart.adapt.folds import Folds
from headstart.adapt.probe import Probe
from headstart.compute.machine import machine
from headstart.data.task import Task

NAME = "heads"
N, D, K, FOLDS = 5000, 1280, 10, 5
STRENGTHS = np.logspace(1, -6, 100)  # L2 per example; C = 1 / (N * strength)
EVERY = 10


def run() -> list[Row]:
    machine()
    features, targets = made(np.random.default_rng(0), N)
    test, truth = made(np.random.default_rng(1), N)
    folds = np.random.default_rng(2).permutation(N) % FOLDS
    ours, head = _ours(features, targets, folds)
    theirs, rival = _theirs(features, targets, folds)
    found = float((head.outputs(test).argmax(axis=1) == truth).mean())
    reached = float((rival.predict(test) == truth).mean())
    note = f"test accuracy {found:.4f} and {reached:.4f}; theirs: {EVERY}x a tenth of the strengths"
    return [
        faster("100 strengths x 5 folds", ours, theirs, 20.0, note),
        Row(
            what="its test accuracy", ours=found, theirs=reached, ratio=found / reached,
            target=round((reached - 0.003) / reached, 4), unit="",
        ),
    ]  # fmt: skip


def made(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features like those of a backbone: correlated, skewed, non-negative."""
    fixed = np.random.default_rng(99)
    centres, mixing = fixed.normal(size=(K, 60)) * 0.45, fixed.normal(size=(60, D)) / 8
    targets = rng.integers(0, K, count)
    inner = centres[targets] + rng.normal(size=(count, 60))
    features = np.maximum(inner @ mixing + 0.3 * rng.normal(size=(count, D)), 0.0)
    return features.astype(np.float32), targets.astype(np.int64)


def _ours(features: np.ndarray, targets: np.ndarray, folds: np.ndarray):  # type: ignore[no-untyped-def]
    task = Task.of("classification", tuple(map(str, range(K))))
    probe = Probe(strengths=tuple(map(float, STRENGTHS)), scalings=("column",))
    start = time.perf_counter()
    fit = probe.fit(features, targets, task, Folds(folds))
    return time.perf_counter() - start, fit.head


def _theirs(features: np.ndarray, targets: np.ndarray, folds: np.ndarray):  # type: ignore[no-untyped-def]
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values = [1 / (N * s) for s in STRENGTHS[EVERY // 2 :: EVERY]]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(
        model, {"logisticregression__C": values}, cv=PredefinedSplit(folds), refit=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(features, targets)
    refit = search.refit_time_
    whole = sum(
        search.cv_results_["mean_fit_time"] + search.cv_results_["mean_score_time"]
    ) * FOLDS * EVERY + refit  # fmt: skip
    return float(whole), search
