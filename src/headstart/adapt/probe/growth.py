"""How long fitting heads will take on many examples, from the same heads on few of them.

A few hundred examples say little of many: there an iteration is mostly the cost of calling torch,
and a product has as few columns as there are examples. So heads are fitted to the few, and what
grows is timed at both sizes: the decomposition, an iteration of the solver, distances. That as
many iterations are needed is an assumption, and that a margin costs what log loss does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse

from headstart.adapt.probe.auto import MOST_STORED, worth_trying
from headstart.adapt.probe.given import Given
from headstart.adapt.probe.kinds import HEADS
from headstart.adapt.probe.method import GAMMAS, LANDMARKS, Probe
from headstart.adapt.solvers.design import design
from headstart.adapt.solvers.links import SIGMOID
from headstart.adapt.solvers.path import Path, even_weights
from headstart.compute.threads import threads, threads_for

MOST = 4000  # examples that are timed; beyond them everything grows in proportion
ITERATIONS = 5
STRENGTH = 1e-3
TRIES = 2  # the best counts
KERNELS = ("rbf", "rbf-svm")
LIKE = {"svm": "logistic", "rbf-svm": "rbf"}  # the same solver with another loss: not timed twice

Rows = Callable[[int], Any]  # so many rows of features like a person's, dense or CSR


def every_head(
    few: Given, many: int, *, known: Mapping[str, float], rng: np.random.Generator
) -> float:
    """Return the seconds that the heads which are worth trying will take on `many` examples.

    `known`: seconds of some heads on the `few`; the others are fitted to them now. Raises what
    `Probe.fit` does.
    """
    took = dict(known)
    for kind in HEADS:
        if kind.name in took or not worth_trying(kind, few):
            continue
        if kind.name == "knn" and many > MOST_STORED:
            continue
        if LIKE.get(kind.name) in took:
            took[kind.name] = took[LIKE[kind.name]]
            continue
        start = time.perf_counter()
        Probe(head=kind.name).fit(few.features, few.targets, few.task, few.folds)
        took[kind.name] = time.perf_counter() - start
    return expected(few, many, took, rng=rng)


def expected(
    few: Given, many: int, took: Mapping[str, float], *, rng: np.random.Generator
) -> float:
    """Return the seconds that heads, which `took` so many on the `few`, take on `many` examples."""
    growth = _Growth(few, many, rng)
    return sum(growth.of(head, seconds) for head, seconds in took.items())


@dataclass(slots=True, eq=False)
class _Growth:
    few: Given
    many: int
    rng: np.random.Generator
    _found: dict[tuple[int, int], tuple[float, float]] = field(init=False, default_factory=dict)

    def of(self, head: str, seconds: float) -> float:
        """Return what `seconds` of a head on the few become."""
        count = self.few.count
        if self.many <= count:
            return seconds
        if head == "knn":
            return seconds + _distances(self.many, self.few.features.shape[1], self.rng)
        rows, designs = self._rows(head), 2 * len(GAMMAS) if head in KERNELS else self._scalings
        timed = min(self.many, max(count, MOST))
        width = rows(2).shape[1]
        small, large = (self._timed(rows, size, width) for size in (count, timed))
        iterating = max(0.0, seconds - designs * small[0]) * large[1] / max(1e-9, small[1])
        return max(seconds, self.many / timed * (iterating + designs * large[0]))

    @property
    def _scalings(self) -> int:
        return 1 if self.few.sparse else len(Probe().scalings)

    def _rows(self, head: str) -> Rows:
        """Return features of as high a rank as there can be, or the same sparse ones repeated."""
        if self.few.sparse:
            return partial(_repeated, self.few.features)
        width = LANDMARKS if head in KERNELS else self.few.features.shape[1]
        return lambda count: self.rng.standard_normal((count, width), np.float32)

    def _timed(self, rows: Rows, count: int, width: int) -> tuple[float, float]:
        """Return seconds of the decomposition, and of an iteration of the solver."""
        if (count, width) not in self._found:
            folds = self.few.folds.count if self.few.folds else 1
            outputs = max(1, self.few.task.outputs)
            self._found[count, width] = _timed(rows(count), outputs, folds, self.rng)
        return self._found[count, width]


def _repeated(features: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    times = -(-count // features.shape[0])
    return sparse.csr_matrix(sparse.csr_matrix(sparse.vstack([features] * times))[:count])


def _timed(
    features: Any, outputs: int, folds: int, rng: np.random.Generator
) -> tuple[float, float]:
    count, best = features.shape[0], float("inf")
    with threads(threads_for(float(np.prod(features.shape)) * outputs * folds)):
        start = time.perf_counter()
        prepared = design(features)
        made = time.perf_counter() - start
        truth = torch.from_numpy(rng.integers(0, 2, (count, outputs)).astype(np.float32))
        of = torch.from_numpy(rng.permutation(np.arange(count) % max(2, folds)))
        weights = even_weights(of[:, None] != torch.arange(folds)[None, :])
        for _ in range(TRIES):
            path = Path(prepared, truth, weights, SIGMOID)
            start = time.perf_counter()
            taken = path.solve(STRENGTH, tolerance=0.0, most=ITERATIONS)
            best = min(best, (time.perf_counter() - start) / max(1, taken))
    return made, best


def _distances(count: int, width: int, rng: np.random.Generator) -> float:
    """Return the seconds of all products between examples."""
    rows = rng.standard_normal((min(count, MOST), width), np.float32)
    some = rows[:200]
    start = time.perf_counter()
    some @ rows.T
    return (time.perf_counter() - start) * count * count / (len(some) * len(rows))
