"""`--label-curve`: what the test part says of fewer labels, and what it would say of more.

Errors are 1 minus the primary metric. Both curves are fitted to the same draws of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from headstart.run.studies import MARGIN, Again, Purse, Studies

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


def draw_labels(
    studies: Studies, purse: Purse, entries: Sequence[Entry], scores: dict[str, np.ndarray]
) -> list[Drawn]:
    """Make each of `entries` with fewer labels; the run's own result is the last point."""
    job = studies.job
    counts = _counts(job)
    if not counts:
        least = _smallest(job)
        job.say(
            f"No label curve: {len(job.data)} labels are too few for a grid that begins at {least};"
            f" it needs {4 * least}."
        )
        return []
    grids = [_grid(job, entry, counts) for entry in entries]
    found = []
    with job.progress("label curve", len(entries) * DRAWS * (len(counts) - 1)) as advance:
        for place, entry in enumerate(entries):
            mine = purse.first([_fewest(studies, grid) for grid in grids[place:]])
            points = _points(studies, mine, entry.name, grids[place], advance)
            if points and all(points):
                found.append(Drawn(entry.name, counts, [*points, [scores[entry.name]]]))
    return found


def least(studies: Studies, entry: Entry) -> float:
    """Return the seconds that there must be for the curve of `entry`."""
    counts = _counts(studies.job)
    return _fewest(studies, _grid(studies.job, entry, counts)) if counts else 0.0


def _smallest(job: Job) -> int:
    """Return how many labels a curve begins with."""
    classes = job.data.task.outputs if job.data.task.name != "regression" else 1
    return max(10, 2 * classes, len(job.data) // 32)


def _counts(job: Job) -> list[int]:
    """Return the counts of labels, the run's own last; [] where there are too few for a curve."""
    n, first = len(job.data), _smallest(job)
    try:
        counts = geometric_counts(first, n, POINTS)
    except HeadstartError:
        return []
    return list(counts) if len(counts) >= FEWEST and n >= 4 * first else []


def _grid(job: Job, entry: Entry, counts: Sequence[int]) -> list[list[Again]]:
    """Return what is to be made: a list a draw, of every count but the last."""
    rng = rng_for(job.recipe.seed, "label curve")
    rows = subsets(job.data.targets, counts[:-1], DRAWS, rng=rng)
    return [[_unit(job, entry, draw, chosen) for chosen in of] for draw, of in enumerate(rows)]


def _fewest(studies: Studies, grid: Sequence[Sequence[Again]]) -> float:
    """Return the seconds that there must be for a curve."""
    return MARGIN * studies.cost([unit for draw in grid[:FEWEST_DRAWS] for unit in draw])


def _points(
    studies: Studies, purse: Purse, name: str, grid: Sequence[Sequence[Again]],
    advance: Callable[[int], None],
) -> list[list[np.ndarray]]:  # fmt: skip
    """Return the scores with each count of labels, a draw each; [] where there is no time."""
    points: list[list[np.ndarray]] = [[] for _ in grid[0]]
    needed, draws = _fewest(studies, grid), 0
    for units in grid if needed <= purse.left else []:
        made = studies.series(units, purse, advance)
        if made is None:
            break
        draws += 1
        for point, one in zip(points, made, strict=True):
            if not isinstance(one, HeadstartError):  # this draw says nothing of so few labels
                point.append(one)
    if draws < FEWEST_DRAWS:
        studies.job.say(
            f"The label curve leaves {name!r} out: {FEWEST_DRAWS} draws take about "
            f"{max(needed, _fewest(studies, grid)):.0f} s, and there is no time. Raise --budget."
        )
        return []
    if draws < len(grid):
        studies.job.say(f"The label curve of {name!r} has {draws} of {len(grid)} draws: no time.")
    return points


def _unit(job: Job, entry: Entry, draw: int, rows: np.ndarray) -> Again:
    seed = seed_for(job.recipe.seed, f"label curve {draw}") % 2**31
    return Again("label curve", entry, rows, job.opened.splits.test.inputs, seed)


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
