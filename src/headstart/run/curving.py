"""`--label-curve`: what the test part says of fewer labels, and what it would say of more.

Errors are 1 minus the primary metric. Both curves are fitted to the same draws of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.compute.randomness import rng_for, seed_for
from headstart.errors import HeadstartError
from headstart.evaluate import fit_curve, labels_for_gain, labels_saved
from headstart.evaluate.labelcurve import FEWEST, REACH, PowerLaw, geometric_counts, subsets
from headstart.evaluate.metrics import metric
from headstart.records import LabelCurve, TaskFacts
from headstart.run.choosing import Entry
from headstart.run.job import Job
from headstart.run.studies import refit, took

POINTS = 6  # counts of labels
DRAWS = 5
FEWEST_DRAWS = 2  # that a trained result must have time for
AT = 25  # label counts at which the record holds the law with its interval


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A result's scores on the test part: scores[i][draw] with counts[i] labels."""

    name: str
    counts: list[int]
    scores: list[list[np.ndarray]]


def draw_labels(job: Job, entries: Sequence[Entry], scores: dict[str, np.ndarray]) -> list[Drawn]:
    """Make each of `entries` with fewer labels; the run's own result is the last point."""
    data = job.data
    classes = data.task.outputs if data.task.name != "regression" else 1
    least = max(10, 2 * classes, len(data) // 32)
    try:
        counts = geometric_counts(least, len(data), POINTS)
    except HeadstartError:
        counts = []
    if len(counts) < FEWEST or len(data) < 4 * least:
        job.say(
            f"No label curve: {len(data)} labels are too few for a grid that begins at {least}; "
            f"it needs {4 * least}."
        )
        return []
    rng = rng_for(job.recipe.seed, "label curve")
    rows = subsets(data.targets, counts[:-1], DRAWS, rng=rng)
    found = []
    with job.progress("label curve", len(entries) * DRAWS * (len(counts) - 1)) as advance:
        for place, entry in enumerate(entries):
            share = job.budget.left / (len(entries) - place)
            draws = _draws(entry, counts, share)
            if draws < FEWEST_DRAWS:
                _left_out(job, entry, counts)
                continue
            points: list[list[np.ndarray]] = [[] for _ in counts[:-1]]
            begun = job.budget.spent
            for draw in range(draws):
                if draw >= FEWEST_DRAWS and entry.method.trains:
                    spent = job.budget.spent - begun
                    if spent + spent / draw > share:  # slower than it looked
                        job.say(f"The label curve of {entry.name!r} has {draw} draws: no time.")
                        break
                for i, chosen in enumerate(rows[draw]):
                    points[i] += _one(job, entry, chosen, draw)
                    advance(1)
            if all(points):
                found.append(Drawn(entry.name, counts, [*points, [scores[entry.name]]]))
    return found


def _draws(entry: Entry, counts: Sequence[int], share: float) -> int:
    """Return how many draws there is time for; a solved head always gets all of them."""
    if not entry.method.trains:
        return DRAWS
    each = took(entry) * sum(counts[:-1]) / counts[-1]
    return min(DRAWS, int(share / max(each, 1e-3)))


def _left_out(job: Job, entry: Entry, counts: Sequence[int]) -> None:
    seconds = FEWEST_DRAWS * took(entry) * sum(counts[:-1]) / counts[-1]
    job.say(
        f"The label curve leaves {entry.name!r} out: it takes about {seconds:.0f} s, and there is "
        "no time. Raise --budget."
    )


def _one(job: Job, entry: Entry, rows: np.ndarray, draw: int) -> list[np.ndarray]:
    seed = seed_for(job.recipe.seed, f"label curve {draw}") % 2**31
    try:
        trained = refit(job, entry, job.data.take(rows), seed=seed)
    except HeadstartError:  # one class among few labels, for instance: this draw says nothing
        return []
    return [trained.adapted.scores(job.opened.splits.test.inputs)]


def curves_of(
    task: TaskFacts, truth: np.ndarray, found: Sequence[Drawn], *, rival: str, seed: int
) -> list[LabelCurve]:
    """Measure and fit; the first of `found` is transfer, and gets the two answers in words."""
    of = metric(task.primary)
    laws: dict[str, PowerLaw] = {}
    made = []
    for one in found:
        errors = [[1 - of.compute(truth, s) for s in at] for at in one.scores]
        if not np.isfinite([e for at in errors for e in at]).all():
            continue
        law = laws[one.name] = fit_curve(one.counts, errors)
        grid = np.unique(np.geomspace(one.counts[0], REACH * law.most, AT).round().astype(int))
        made.append(
            LabelCurve(
                result=one.name, counts=one.counts, errors=errors, floor=law.floor,
                scale=law.scale, rate=law.rate, shift=law.shift,
                predicted={str(n): law.predict(float(n)) for n in grid},
            )
        )  # fmt: skip
    if found and found[0].name in laws:
        made[0] = made[0].model_copy(update={"words": _words(found[0], found, laws, rival, seed)})
    return made


def _words(
    first: Drawn, found: Sequence[Drawn], laws: dict[str, PowerLaw], rival: str, seed: int
) -> list[str]:
    rng = rng_for(seed, "label answers")
    told = []
    for other in found[1:]:
        if other.name == rival and other.name in laws:
            answer = labels_saved(laws[first.name], laws[other.name], rng=rng)
            told.append(answer.words.replace("from scratch", repr(rival)))
    told.append(labels_for_gain(laws[first.name], rng=rng).words)
    return told
