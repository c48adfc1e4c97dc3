"""Does a label curve predict the accuracy at four times the labels? On shared data, probed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.evidence_data import fitted, reaches
from bench.pools import Pool, pool, simple_pool
from bench.table import Row
from headstart.evaluate.labelcurve import fit_curve, geometric_counts, subsets

SETS = (
    "clothing_small", "hymenoptera", "trec", "sst2", "customer_reviews", "instruments", "fsdd",
    "digits",
)  # fmt: skip
DENSE = ("clothing_small", "hymenoptera", "instruments", "fsdd", "digits")
DRAWS = 5
TRIALS = 3  # splits of each set


def label_curves() -> Iterator[Row]:
    """Fit on a quarter of the labels, predict the accuracy with all of them."""
    yield from _curves("features of the model", SETS, pool, TRIALS)


def label_curves_by_hand() -> Iterator[Row]:
    """The same on features that the form of the law was not chosen by."""
    yield from _curves("hand-made features", DENSE, simple_pool, 2)


def _curves(
    kind: str, names: tuple[str, ...], make: Callable[[str], Pool], trials: int
) -> Iterator[Row]:
    held, widths = [], []
    for name in names:
        one = make(name)
        made = [_trial(one, seed) for seed in range(trials)]
        held += [hit for hit, _, _ in made]
        widths += [width for _, width, _ in made]
        note = "; ".join(words for _, _, words in made)
        inside = float(np.mean([hit for hit, _, _ in made]))
        yield reaches(f"label curve, {name}, {kind}", inside, None, note)
    note = f"median width of the intervals {100 * float(np.median(widths)):.1f} points"
    what = f"label curve at 4 x the labels, {kind}: {len(held)} cases inside"
    yield reaches(what, float(np.mean(held)), 0.85, note)


def _trial(one: Pool, seed: int) -> tuple[bool, float, str]:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(one.targets))
    size = min(1000, int(0.4 * len(rows)))
    test, train = rows[:size], rows[size:]
    whole = min(len(train), (2000, 800, 1400)[seed % 3])
    counts = geometric_counts(max(2 * one.classes, whole // 64, 8), whole // 4)
    drawn = subsets(one.targets[train], counts, DRAWS, rng=rng)
    errors = [
        [_error(one, train[draw[at]], test, rng) for draw in drawn] for at in range(len(counts))
    ]
    law = fit_curve(counts, errors)
    found = law.predict(4 * counts[-1])
    every = rng.permutation(train)[: 4 * counts[-1]]
    true = _error(one, every, test, rng)
    assert found.low is not None and found.high is not None
    words = (
        f"{4 * counts[-1]} labels: accuracy {1 - true:.3f}, predicted {1 - found.value:.3f} "
        f"({1 - found.high:.3f} to {1 - found.low:.3f})"
    )
    return found.low <= true <= found.high, found.high - found.low, words


def _error(one: Pool, train: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> float:
    head = fitted(one, train, rng)
    return float((head.outputs(one.features[test]).argmax(axis=1) != one.targets[test]).mean())
