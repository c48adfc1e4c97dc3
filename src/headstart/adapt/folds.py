"""Folds for choosing strengths: stratified, and groups never part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.compute.randomness import rng_for
from headstart.data.dataset import Dataset

FOLDS = 5
VALIDATION = 0.2  # of the training examples, where the data has no validation part
MOST_HELD = 500  # to validate on: accuracy within 2.6 points; more serve better for training


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Which fold each example is held out with.

    `of` (n,) int64. `apart`: the fold of the person's own validation examples, on which no fold
    trains; None where there is none.
    """

    of: np.ndarray
    apart: int | None = None

    @property
    def count(self) -> int:
        return int(self.of.max()) + 1

    def inside(self, fold: int) -> np.ndarray:
        """Return (n,) bool: the examples that the model of `fold` trains on."""
        kept: np.ndarray = self.of != fold
        return kept if self.apart is None else kept & (self.of != self.apart)

    @property
    def asked(self) -> np.ndarray:
        """Return (n,) bool: the examples that some model can be asked about without having seen.

        All of them, but for training data too small to fold beside validation data of its own.
        """
        able = np.asarray([self.inside(fold).any() for fold in range(self.count)])
        held: np.ndarray = able[self.of]
        return held


def plan(data: Dataset, validation: np.ndarray | None, *, rng: np.random.Generator) -> Folds | None:
    """Fold `data`; rows `validation`, where given, stand apart. None where it is too small."""
    if validation is None:
        dealt = folds_of(data, rng=rng)
        return None if dealt is None else Folds(dealt)
    rest = np.setdiff1d(np.arange(len(data)), validation)
    of = np.zeros(len(data), np.int64)
    dealt = folds_of(data.take(rest), rng=rng)
    apart = 0 if dealt is None else int(dealt.max()) + 1
    if dealt is None:
        of[rest] = 1  # a fold of its own, never asked: all but the validation rows train
    else:
        of[rest] = dealt
    of[validation] = apart
    return Folds(of, apart)


def folds_of(data: Dataset, *, rng: np.random.Generator, most: int = FOLDS) -> np.ndarray | None:
    """Return the fold (n,) int64 of every example, or None where the data is too small to fold.

    Classification is stratified; a class with fewer examples than folds is spread as far as it
    goes. There are as many folds as the most frequent class has examples, at most `most`.
    """
    if data.groups is not None:
        return _grouped(data, rng, most)
    count = len(data)
    if data.task.name == "classification":
        sizes = np.bincount(data.targets, minlength=data.task.outputs)
        folds = min(most, int(sizes.max()))
        if folds < 2 or (sizes[sizes > 0] < 2).all():
            return None
        return _dealt(_class_order(data.targets, rng), folds)
    if count < 4:
        return None
    order = rng.permutation(count)
    if data.task.name == "regression":  # neighbours in value go to different folds
        order = order[np.argsort(data.targets[order], kind="stable")]
    return _dealt(order, min(most, count // 2))


def _class_order(targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shuffled = rng.permutation(len(targets))
    return shuffled[np.argsort(targets[shuffled], kind="stable")]


def _dealt(order: np.ndarray, folds: int) -> np.ndarray:
    """Deal rows out like cards, in `order`: neighbours there end in different folds."""
    dealt = np.empty(len(order), np.int64)
    dealt[order] = np.arange(len(order)) % folds
    return dealt


def _grouped(data: Dataset, rng: np.random.Generator, most: int) -> np.ndarray | None:
    names, group = np.unique(np.asarray(data.groups).astype(str), return_inverse=True)
    folds = min(most, len(names))
    if folds < 2:
        return None
    sizes = np.bincount(group)
    loads = np.zeros(folds)
    fold_of_group = np.empty(len(names), np.int64)
    for at in sorted(rng.permutation(len(names)), key=lambda g: -sizes[g]):
        fold_of_group[at] = loads.argmin()  # the largest groups first, each to the emptiest fold
        loads[fold_of_group[at]] += sizes[at]
    return fold_of_group[group]


def of_classes(data: Dataset, dealt: np.ndarray | None) -> np.ndarray | None:
    """Return the folds (n,) from 0 that leave two classes to learn from, -1 for the other examples.

    Groups may hold a class each. None where there is no such fold.
    """
    if dealt is None:
        return None
    able = [
        fold for fold in range(int(dealt.max()) + 1)
        if len(np.unique(data.targets[dealt != fold])) > 1
    ]  # fmt: skip
    if not able:
        return None
    return np.where(np.isin(dealt, able), np.searchsorted(able, dealt), -1)


def validation_rows(data: Dataset, own: np.ndarray | None, seed: int) -> np.ndarray:
    """Return the rows to validate on: the person's `own`, else a fifth that `seed` draws."""
    return carve(data, VALIDATION, rng=rng_for(seed, "validation")) if own is None else own


def held_out(data: Dataset, own: np.ndarray | None, seed: int) -> tuple[Folds | None, np.ndarray]:
    """Return the folds and the rows to validate on, as `plan` and `validation_rows` draw them."""
    return plan(data, own, rng=rng_for(seed, "folds")), validation_rows(data, own, seed)


def carve(data: Dataset, share: float, *, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of about `share` of `data`, MOST_HELD at most, to validate on.

    Stratified like `folds_of`; a class with a single example keeps it for training.
    """
    share = min(share, MOST_HELD / max(1, len(data)))
    folds = folds_of(data, rng=rng, most=max(2, round(1 / share)))
    if folds is None:
        return np.empty(0, np.int64)
    held = folds == 0
    if data.task.name == "classification":
        for label in np.unique(data.targets):
            mine = data.targets == label
            if held[mine].all():
                held[np.flatnonzero(mine)[0]] = False
    return np.flatnonzero(held)
