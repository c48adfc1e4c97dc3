"""`--cv k`: the best candidate against every baseline over repeated folds of the training data.

The test part stays apart. Backbone features come from the store, so they are extracted once;
strengths and everything else that is tuned are tuned inside the training rows of each fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headstart.compute.randomness import rng_for
from headstart.errors import HeadstartError
from headstart.evaluate import cross_validated, plan_folds
from headstart.evaluate.metrics import metric
from headstart.records import CrossValidation
from headstart.run.choosing import Entry, best
from headstart.run.job import Job
from headstart.run.studies import MARGIN, Again, Purse, Studies


def cross_validate(
    studies: Studies, purse: Purse, candidate: Entry, baselines: Sequence[Entry],
    candidates: Sequence[Entry],
) -> list[CrossValidation]:  # fmt: skip
    """Return a comparison a baseline. What `purse` has no time for is left out, and said."""
    job, folds = studies.job, _folds(studies.job)
    if isinstance(folds, HeadstartError):
        job.say(f"Left out: {folds}")
        return []
    entries = _affordable(studies, purse, folds[0], candidate, baselines, candidates)
    if len(entries) < 2:
        return []
    scores = _scores(studies, purse, entries, folds)
    first, made = entries[0].name, list[CrossValidation]()
    for other in entries[1:]:
        shared = min(len(scores[first]), len(scores[other.name]))
        if shared:
            pair = {name: scores[name][:shared] for name in (first, other.name)}
            made += _compared(job, pair, first, other.name)
    return made


def least(
    studies: Studies, candidate: Entry, baselines: Sequence[Entry], candidates: Sequence[Entry]
) -> float:
    """Return the seconds that there must be to go through all folds once.

    Of the candidate, or of one that is solved in its place, against the baselines that are solved.
    """
    folds = _folds(studies.job)
    if isinstance(folds, HeadstartError):
        return 0.0

    def price(entry: Entry) -> float:
        return MARGIN * studies.cost(_units(studies.job, entry, folds[0]))

    able = [candidate, *(e for e in candidates if not e.method.trains)]
    mine = min(able, key=price)
    rivals = (e for e in baselines if not e.method.trains and e is not mine)
    return price(mine) + sum(map(price, rivals))


def _folds(job: Job) -> np.ndarray | HeadstartError:
    """Return the fold of each example (repeats, n), or why there are none."""
    rng = rng_for(job.recipe.seed, "cross-validation")
    k, repeats, data = job.recipe.cv, job.recipe.cv_repeats, job.data
    try:
        return plan_folds(data.targets, k, repeats, groups=data.groups, rng=rng)
    except HeadstartError as error:
        return error


def _affordable(
    studies: Studies, purse: Purse, folds: np.ndarray, candidate: Entry,
    baselines: Sequence[Entry], candidates: Sequence[Entry],
) -> list[Entry]:  # fmt: skip
    """Return what there is time for all folds of, once: the candidate, then baselines in order.

    In place of a candidate that takes too long, the best that is solved.
    """
    job = studies.job

    def price(entry: Entry) -> float:
        return MARGIN * studies.cost(_units(job, entry, folds))

    left = purse.left
    if price(candidate) > left:
        _left_out(job, candidate, price(candidate), left)
        solved = [e for e in candidates if not e.method.trains and price(e) <= left]
        if not solved:
            return []
        candidate = best(solved, job.data)
    left -= price(candidate)
    kept = []
    for entry in sorted((e for e in baselines if e is not candidate), key=price):
        if price(entry) <= left:
            left -= price(entry)
            kept.append(entry)
        else:
            _left_out(job, entry, price(entry), left)
    return [candidate, *(e for e in baselines if e in kept)]


def _units(job: Job, entry: Entry, of: np.ndarray) -> list[Again]:
    """Return the trainings of one repeat: each fold is answered by what learned from the others."""
    return [
        Again("cross-validation", entry, np.flatnonzero(of != fold),
              job.data.take(np.flatnonzero(of == fold)).inputs, job.recipe.seed)
        for fold in range(job.recipe.cv)
    ]  # fmt: skip


def _left_out(job: Job, entry: Entry, seconds: float, left: float) -> None:
    job.say(
        f"Cross-validation leaves {entry.name!r} out: {job.recipe.cv} trainings need about "
        f"{seconds:.0f} s, its part of the budget has {left:.0f} s left. Raise --budget."
    )


def _scores(
    studies: Studies, purse: Purse, entries: Sequence[Entry], folds: np.ndarray
) -> dict[str, np.ndarray]:
    """Return result to metric (repeats done, folds)."""
    job = studies.job
    found: dict[str, list[list[float]]] = {e.name: [] for e in entries}
    going = list(entries)
    with job.progress("cross-validation", len(entries) * job.recipe.cv * len(folds)) as advance:
        for of in folds:
            for entry in list(going):
                row = _row(studies, purse, entry, of, advance)
                if row is not None:
                    found[entry.name].append(row)
                    continue
                going.remove(entry)
                if entry is entries[0]:
                    break
            if entries[0] not in going or len(going) < 2:
                break
    for entry in entries:
        done = len(found[entry.name])
        if entry not in going:
            job.say(
                f"Cross-validation of {entry.name!r} has {done} of {len(folds)} repeats: no time "
                "for more. Raise --budget."
            )
    return {name: np.asarray(rows) for name, rows in found.items()}


def _row(
    studies: Studies, purse: Purse, entry: Entry, of: np.ndarray, advance: Callable[[int], None]
) -> list[float] | None:
    """Return the metric a fold; None where there is no time for all of them."""
    data, primary = studies.job.data, metric(studies.job.data.task.facts().primary)
    made = studies.series(_units(studies.job, entry, of), purse, advance)
    if made is None:
        return None
    return [
        float("nan") if isinstance(scores, HeadstartError)
        else primary.compute(data.targets[of == fold], scores)
        for fold, scores in enumerate(made)
    ]  # fmt: skip


def _compared(
    job: Job, scores: dict[str, np.ndarray], candidate: str, against: str
) -> list[CrossValidation]:
    name = job.data.task.facts().primary
    try:
        found = cross_validated(scores, candidate=candidate, against=against, name=name)
    except HeadstartError as error:
        job.say(f"{candidate!r} against {against!r}: {error}")
        return []
    told = {who: np.round(values, 6).tolist() for who, values in scores.items()}
    return [found.model_copy(update={"scores": told})]
