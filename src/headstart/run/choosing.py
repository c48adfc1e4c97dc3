"""Which results are made, and which one is handed over: by validation data, never by test data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.adapt import Method, Trained
from headstart.data.dataset import Dataset
from headstart.evaluate import better, choose, measure
from headstart.evaluate.intervals import summed

# One-sided p-value below which held-out examples are against what is favoured: the tail beyond one
# standard error, which decides between adapted models in handing.py too. Not 5 %: experience is
# for the favoured method on average, not with every model.
AGAINST = 0.16


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A finished result on its way to the judge."""

    role: str  # "candidate" or "baseline"
    model: str | None
    method: Method
    trained: Trained

    @property
    def name(self) -> str:
        return self.trained.adapted.name


def validation_of(entry: Entry, data: Dataset, rows: np.ndarray | None = None) -> dict[str, float]:
    """Measure an entry on rows that it did not train on; {} where there are none."""
    rows = entry.trained.rows if rows is None else rows
    if not len(rows):
        return {}
    scores = entry.trained.held_scores(rows)
    found = measure(data.task.facts(), data.targets[rows], scores)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def mistakes(leader: Entry, data: Dataset, rows: np.ndarray) -> int | None:
    """Return how many of the examples `rows` the leader gets wrong; None where it cannot be known.

    For classification, where it answered for all of them without having learned from them.
    """
    shared = np.intersect1d(leader.trained.rows, rows)
    if data.task.name != "classification" or len(shared) < len(rows) or not len(rows):
        return None
    said = leader.trained.held_scores(shared).argmax(axis=1)
    return int((said != data.targets[shared]).sum())


def best(entries: Sequence[Entry], data: Dataset, favoured: str = "") -> Entry:
    """Return the best entry by the primary metric; `entries` come simplest first.

    `favoured`: a method that the advice prefers where held-out examples are too few to tell: its
    entry is taken unless the best one is ahead by more than one standard error (exact sign test on
    the examples that one alone gets right, one-sided, p < 0.16; those of a group have one vote).

    Entries that were solved are compared on every training example, held out in turn. One that was
    trained by gradient is compared with the best so far on its own validation examples, which are
    fewer: it must be better there, a tie leaves the simpler one.
    """
    solved = [entry for entry in entries if not entry.method.trains]
    trained = [entry for entry in entries if entry.method.trains]
    leader = _best_of(solved, data) if solved else trained.pop(0)
    for rival in trained:
        shared = np.intersect1d(leader.trained.rows, rival.trained.rows)
        if len(shared) and _beats(rival, leader, data, shared):
            leader = rival
    mine = [entry for entry in entries if favoured and entry.method.name == favoured]
    if mine and not _ahead(leader, mine[0], data):
        return mine[0]
    return leader


def _ahead(one: Entry, other: Entry, data: Dataset) -> bool:
    """Say whether `one` is ahead on held-out examples by a standard error; classification."""
    from scipy.stats import binom

    rows = np.intersect1d(one.trained.rows, other.trained.rows)
    if data.task.name != "classification" or not len(rows):
        return False
    ours, theirs = (
        entry.trained.held_scores(rows).argmax(axis=1) == data.targets[rows]
        for entry in (one, other)
    )
    groups = None if data.groups is None else data.groups[rows]
    votes = summed(ours.astype(int) - theirs, groups)
    won, lost = int((votes > 0).sum()), int((votes < 0).sum())
    return float(binom.sf(won - 1, won + lost, 0.5)) < AGAINST


def _beats(rival: Entry, leader: Entry, data: Dataset, rows: np.ndarray) -> bool:
    facts = data.task.facts()
    ours, theirs = (validation_of(entry, data, rows) for entry in (rival, leader))
    return facts.primary in ours and (
        facts.primary not in theirs or better(facts, ours[facts.primary], theirs[facts.primary])
    )


def _best_of(entries: Sequence[Entry], data: Dataset, rows: np.ndarray | None = None) -> Entry:
    if len(entries) == 1:
        return entries[0]
    found = {entry.name: validation_of(entry, data, rows) for entry in entries}
    if not all(found.values()):
        return entries[-1]  # too little data to hold anything out: the richest model is a guess
    name = choose(data.task.facts(), found, [entry.name for entry in entries])
    return next(entry for entry in entries if entry.name == name)
