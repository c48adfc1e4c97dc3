"""Which results are made, and which one is handed over: by validation data, never by test data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.adapt import Method, Trained
from headstart.data.dataset import Dataset
from headstart.evaluate import better, choose, measure


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


def best(entries: Sequence[Entry], data: Dataset) -> Entry:
    """Return the best entry by the primary metric; `entries` come simplest first.

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
    return leader


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
