"""How long fitting heads will take on many examples, from the same heads on few of them.

A few hundred examples say little of many: there an iteration is mostly the cost of calling torch,
and a product has as few columns as there are examples. So heads are fitted to the few, their
iterations are counted, and what grows is timed at both sizes: the decomposition, an iteration, and
distances. That as many iterations are needed is an assumption, and that a margin costs what log
loss does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse

from headstart.adapt.probe.auto import MOST_STORED, worth_trying
from headstart.adapt.probe.given import Given, Tally, check
from headstart.adapt.probe.kinds import HEADS
from headstart.adapt.probe.kinds.rbf import mapped_by
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
EVERY_HEAD = tuple(kind.name for kind in HEADS)
LIKE = {"svm": "logistic", "rbf-svm": "rbf"}  # the same solver with another loss: not timed twice

Rows = Callable[[int], Any]  # so many rows of features like a person's, dense or CSR


def expected(
    few: Given, many: int, *, heads: Sequence[str] = EVERY_HEAD, rng: np.random.Generator
) -> float:
    """Return the seconds that those of `heads` which are worth trying will take on `many` examples.

    Fits them to the `few`. Raises what `Probe.fit` does.
    """
    growth, took = _Growth(few, many, rng), dict[str, tuple[float, int]]()
    settings = Probe().settings(0)
    check(few)
    for kind in HEADS:
        wanted = kind.name in heads and worth_trying(kind, few)
        if not wanted or (kind.name == "knn" and many > MOST_STORED):
            continue
        twin = LIKE.get(kind.name)
        if twin in took:
            took[kind.name] = took[twin]
            continue
        tally, start = Tally(), time.perf_counter()
        kind.fit(replace(few, tally=tally), settings)
        took[kind.name] = time.perf_counter() - start, tally.products
    return sum(growth.of(head, *cost) for head, cost in took.items())


@dataclass(slots=True, eq=False)
class _Growth:
    few: Given
    many: int
    rng: np.random.Generator
    _found: dict[tuple[int, int], tuple[float, float]] = field(init=False, default_factory=dict)

    def of(self, head: str, seconds: float, products: int) -> float:
        """Return what `seconds` of a head on the few become, with so many products there."""
        count = self.few.count
        if self.many <= count:
            return seconds
        if head == "knn":
            return seconds + _distances(self.many, self.few.features.shape[1], self.rng)
        rows, designs = self._rows(head), len(GAMMAS) if head in KERNELS else self._scalings
        timed = min(self.many, max(count, MOST))
        width = rows(2).shape[1]
        small, large = (self._timed(rows, size, width) for size in (count, timed))
        more = designs * (large[0] - small[0]) + products * (large[1] - small[1])
        return seconds + max(0.0, self.many / timed * more)

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
            made, iteration = _timed(rows(count), outputs, folds, self.rng)
            if width == LANDMARKS and not self.few.sparse:
                made += _kernel(count, self.few.features.shape[1], self.rng)
            self._found[count, width] = made, iteration
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


def _kernel(count: int, width: int, rng: np.random.Generator) -> float:
    """Return the seconds of turning features (count, width) into those of a kernel."""
    rows = rng.standard_normal((count, width), np.float32)
    start = time.perf_counter()
    mapped_by(rows, rows[:LANDMARKS], 1.0 / width)
    return time.perf_counter() - start


def _distances(count: int, width: int, rng: np.random.Generator) -> float:
    """Return the seconds of all products between examples."""
    rows = rng.standard_normal((min(count, MOST), width), np.float32)
    some = rows[:200]
    start = time.perf_counter()
    some @ rows.T
    return (time.perf_counter() - start) * count * count / (len(some) * len(rows))
