"""Hold out a test part: stratified, grouped where groups are given, the same for the same seed."""

from __future__ import annotations

import numpy as np

from headstart.data.raw import count, some
from headstart.errors import TooFewExamples

TEST_SHARE = 0.2
BINS = 10  # quantile bins of a continuous target, with at least 5 examples each


def holdout(
    targets: np.ndarray,
    labels: tuple[str, ...],
    groups: np.ndarray | None,
    *,
    seed: int,
    share: float = TEST_SHARE,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (training rows, test rows), sorted; together they are all rows.

    `targets` as a Dataset holds them: int64 (n,) classes, int8 (n, k) labels, or float64 (n,).
    Every class has an example in both parts; with groups, every class stays in training, and
    groups never part. Raises TooFewExamples where that is impossible, naming the class.
    """
    total = len(targets)
    if total < 2:
        raise TooFewExamples(f"{count(total, 'example')}; at least 2 are needed to test on one.")
    rng = np.random.default_rng(seed)
    strata = _strata(targets)
    if targets.dtype.kind == "i" and targets.ndim == 1:
        sizes = np.bincount(targets, minlength=len(labels))
        single = [labels[i] for i in np.flatnonzero(sizes == 1)]
        if single:
            raise TooFewExamples(
                f"{_classes(single)} a single example; at least 2 are needed, one to train and "
                "one to test on. Add examples, remove the class, or give test data with --test."
            )
    if groups is not None:
        test = _grouped(targets, strata, groups, share, rng)
    else:
        test = _stratified(strata, share, rng)
        if targets.ndim == 2:
            test = _balanced(targets, test, rng)
    return np.flatnonzero(~test), np.flatnonzero(test)


def _classes(names: list[str]) -> str:
    verb = "has" if len(names) == 1 else "have"
    return f"{'Class' if len(names) == 1 else 'Classes'} {some(map(repr, names))} {verb}"


def _strata(targets: np.ndarray) -> np.ndarray:
    """Return a stratum number (n,) a row: its class, its rarest label, or its quantile."""
    if targets.ndim == 2:
        # A row goes with its rarest label, so that rare labels are spread first.
        sizes = targets.sum(axis=0)
        cost = np.where(targets > 0, sizes[None, :], np.iinfo(np.int64).max)
        rarest: np.ndarray = np.where(targets.any(axis=1), cost.argmin(axis=1), targets.shape[1])
        return rarest
    if targets.dtype.kind == "i":
        return targets
    bins = max(1, min(BINS, len(targets) // 5))
    order = np.argsort(targets, kind="stable")
    strata = np.empty(len(targets), dtype=np.int64)
    strata[order] = np.arange(len(targets)) * bins // len(targets)
    return strata


def _stratified(strata: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return a mask (n,) that takes about `share` of each stratum, at least 1 where it has 2."""
    test = np.zeros(len(strata), dtype=bool)
    names, sizes = np.unique(strata, return_counts=True)
    wanted = sizes * share
    taken = np.floor(wanted).astype(np.int64)
    # Largest remainders first, until the whole test part has its size.
    rest = max(1, round(len(strata) * share)) - int(taken.sum())
    for index in np.lexsort((rng.random(len(names)), -(wanted - taken)))[: max(0, rest)]:
        taken[index] += 1
    taken = np.clip(taken, np.minimum(1, sizes - 1), np.maximum(sizes - 1, 0))
    for name, number in zip(names, taken, strict=True):
        rows = np.flatnonzero(strata == name)
        test[rng.permutation(rows)[:number]] = True
    if not test.any():
        test[rng.integers(len(strata))] = True
    return test


def _grouped(
    targets: np.ndarray,
    strata: np.ndarray,
    groups: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a mask (n,) of whole groups, near to `share` of each class, label or quantile.

    Greedy: large groups first, each taken when it brings the test part nearer to what is wanted
    and leaves some of all that it holds in training.
    """
    names, member = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    if len(names) < 2:
        raise TooFewExamples(
            f"All examples are of one group, {str(names[0])!r}; at least 2 groups are needed."
        )
    if targets.ndim == 2:
        table = np.zeros((len(names), targets.shape[1]))
        np.add.at(table, member, targets)
    else:
        _, stratum = np.unique(strata, return_inverse=True)
        table = np.zeros((len(names), int(stratum.max()) + 1))
        np.add.at(table, (member, stratum), 1)
    left, wanted = table.sum(axis=0), table.sum(axis=0) * share
    have = np.zeros_like(wanted)
    chosen: list[int] = []
    order = np.lexsort((rng.random(len(names)), -table.sum(axis=1)))
    for group in order:
        row = table[group]
        nearer = np.sum((have + row - wanted) ** 2) < np.sum((have - wanted) ** 2)
        if nearer and np.all((left - row)[row > 0] > 0) and len(chosen) < len(names) - 1:
            chosen.append(int(group))
            have, left = have + row, left - row
    if not chosen:
        safe = [int(g) for g in order[::-1] if np.all((left - table[g])[table[g] > 0] > 0)]
        if not safe:
            raise TooFewExamples(
                "No group can be held out: each holds all examples of some class. "
                "Give test data with --test, or leave --group out."
            )
        chosen = safe[:1]
    return np.isin(member, chosen)


def _balanced(targets: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move single rows so that every label has a positive in training, and in test where it can."""
    test = test.copy()
    for label in np.argsort(targets.sum(axis=0), kind="stable"):
        rows = np.flatnonzero(targets[:, label])
        inside = test[rows]
        if len(rows) and inside.all():
            test[rng.choice(rows)] = False
        elif len(rows) > 1 and not inside.any():
            _bring(targets, test, rng.permutation(rows))
    return test


def _bring(targets: np.ndarray, test: np.ndarray, rows: np.ndarray) -> None:
    """Move the first of `rows` to the test part that leaves its labels in training.

    Where it is the last one of a label there, another row of that label comes back for it.
    """
    left, held = targets[~test].sum(axis=0), targets[test].sum(axis=0)
    for row in rows:
        lost = np.flatnonzero((targets[row] > 0) & (left == 1))
        if np.all(held[lost] > 0):
            for label in lost:
                back = np.flatnonzero(test & (targets[:, label] > 0))
                test[back[:1]] = False
            test[row] = True
            return
