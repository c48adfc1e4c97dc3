"""What a head is fitted to, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse

from headstart.adapt.folds import Folds
from headstart.adapt.heads import Head
from headstart.adapt.solvers.links import SIGMOID, SOFTMAX, Link
from headstart.data.task import Task
from headstart.errors import DataError, TooFewExamples


@dataclass(slots=True)
class Tally:
    """Counts what a solver did: products of the features with all folds at once, or as dear."""

    products: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Features (n, d), dense or CSR, and targets as `Dataset.targets` holds them."""

    features: Any
    targets: np.ndarray
    task: Task
    folds: Folds | None  # None where the data is too small to fold
    tally: Tally | None = None  # for whoever asks what a fit takes

    def count_products(self, count: int) -> None:
        """Note work that grows with the examples."""
        if self.tally is not None:
            self.tally.products += count

    @property
    def count(self) -> int:
        return len(self.targets)

    @property
    def sparse(self) -> bool:
        return bool(sparse.issparse(self.features))

    @property
    def numeric(self) -> bool:
        """Whether numbers are predicted, rather than classes or labels."""
        return self.task.name == "regression"

    @property
    def asked(self) -> np.ndarray:
        """Rows that some fit can be asked about without having seen them."""
        return np.flatnonzero(self.folds.asked) if self.folds else np.empty(0, np.int64)

    def truth(self) -> torch.Tensor:
        """Return targets as (n, k) float32: of 0 and 1, or for regression the numbers."""
        if self.numeric:
            return torch.from_numpy(self.targets.astype(np.float32))[:, None]
        return truth_of(self.targets, self.task)

    def signed(self) -> np.ndarray:
        """Return what least squares fits: (n, k) float64 of -1 and 1, or the numbers."""
        if self.numeric:
            return np.asarray(self.targets, np.float64)[:, None]
        found: np.ndarray = self.truth().double().numpy() * 2.0 - 1.0
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted head. `left_out` (n, k): raw outputs of each training example by a fit without it;
    None where the data was too small to fold. `details` goes into the record."""

    head: Head
    left_out: np.ndarray | None
    details: dict[str, Any]
    trained: int  # number of fitted parameters

    @property
    def loss(self) -> float:
        """Out-of-fold loss: nats, or the squared error. Infinite where nothing was held out."""
        return float(self.details.get("out_of_fold_loss", float("inf")))

    def told(self, **details: Any) -> Fit:
        """Return the fit with more details."""
        return replace(self, details=self.details | details)


def check(given: Given) -> None:
    """Raise TooFewExamples for no examples or one class, DataError for NaN features."""
    if given.count == 0:
        raise TooFewExamples("A probe needs at least 2 training examples; there are none.")
    values = given.features.data if given.sparse else given.features
    if not np.isfinite(values).all():
        kind = "NaN" if np.isnan(values).any() else "infinite"
        rows = (~np.isfinite(values)).any(axis=1).sum() if np.ndim(values) == 2 else "some"
        raise DataError(
            f"Features of {rows} of {given.count} examples are {kind}, where finite numbers are "
            "expected. Check the model's weights and what it is fed."
        )
    if given.task.name == "classification":
        classes = np.unique(given.targets)
        if len(classes) < 2:
            raise TooFewExamples(
                f"A probe needs at least 2 classes; all {given.count} training examples are "
                f"{given.task.labels[int(classes[0])]!r}. Check the column of the target."
            )


def truth_of(targets: np.ndarray, task: Task) -> torch.Tensor:
    """Return targets as (n, k) float32 of 0 and 1."""
    if task.name == "multi-label":
        return torch.from_numpy(targets.astype(np.float32))
    return torch.nn.functional.one_hot(torch.from_numpy(targets), task.outputs).float()


def link_of(task: Task) -> Link:
    """Return the log loss of a task with classes or labels."""
    return SIGMOID if task.name == "multi-label" else SOFTMAX


def size_of(head: Head) -> int:
    """Return how many numbers a head keeps."""
    return int(sum(array.size for array in head.arrays().values()))
