"""Folds for choosing strengths: stratified, and groups never part."""

from __future__ import annotations

import numpy as np

from headstart.data.dataset import Dataset

FOLDS = 5


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


def carve(data: Dataset, share: float, *, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
    """Part `data` into (training, validation) with about `share` in the latter.

    Stratified like `folds_of`. Where a class has a single example it stays in training.
    """
    folds = folds_of(data, rng=rng, most=max(2, round(1 / share)))
    if folds is None:
        return data, data.take(np.empty(0, np.int64))
    held = folds == 0
    if data.task.name == "classification":
        for label in np.unique(data.targets):
            mine = data.targets == label
            if held[mine].all():
                held[np.flatnonzero(mine)[0]] = False
    return data.take(np.flatnonzero(~held)), data.take(np.flatnonzero(held))
