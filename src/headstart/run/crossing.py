"""`--cv k`: the best candidate against every baseline over repeated folds of the training data.

The test part stays apart. Backbone features come from the store, so they are extracted once;
strengths and everything else that is tuned are tuned inside the training rows of each fold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.compute.randomness import rng_for
from headstart.errors import HeadstartError
from headstart.evaluate import cross_validated, plan_folds
from headstart.evaluate.metrics import metric
from headstart.records import CrossValidation
from headstart.run.choosing import Entry, best
from headstart.run.job import Job
from headstart.run.studies import refit, took


def cross_validate(
    job: Job, candidate: Entry, baselines: Sequence[Entry], candidates: Sequence[Entry]
) -> list[CrossValidation]:
    """Return a comparison a baseline. What there is no time for is left out, and said."""
    k, repeats = job.recipe.cv, job.recipe.cv_repeats
    data = job.data
    try:
        rng = rng_for(job.recipe.seed, "cross-validation")
        folds = plan_folds(data.targets, k, repeats, groups=data.groups, rng=rng)
    except HeadstartError as error:
        job.say(f"Left out: {error}")
        return []
    if _repeats(job, candidate) == 0:
        _left_out(job, candidate)
        solved = [e for e in candidates if not e.method.trains]
        if not solved:
            return []
        candidate = best(solved, data)
    entries = [candidate]
    for entry in baselines:
        if _repeats(job, entry):
            entries.append(entry)
        else:
            _left_out(job, entry)
    scores = _scores(job, entries, folds)
    made = []
    for other in entries[1:]:
        shared = min(len(scores[candidate.name]), len(scores[other.name]))
        if not shared:
            continue
        pair = {e.name: scores[e.name][:shared] for e in (candidate, other)}
        made += _compared(job, pair, candidate.name, other.name)
    return made


def _repeats(job: Job, entry: Entry) -> int:
    """Return how often all folds can be gone through in what is left of the budget."""
    if not entry.method.trains:
        return job.recipe.cv_repeats
    possible = int(job.budget.left / 2 / max(job.recipe.cv * took(entry), 1e-3))
    return min(job.recipe.cv_repeats, possible)


def _left_out(job: Job, entry: Entry) -> None:
    seconds = 2 * job.recipe.cv * took(entry)
    job.say(
        f"Cross-validation leaves {entry.name!r} out: {job.recipe.cv} trainings need a budget with "
        f"about {seconds:.0f} s left, there are {job.budget.left:.0f} s. Raise --budget."
    )


def _scores(job: Job, entries: Sequence[Entry], folds: np.ndarray) -> dict[str, np.ndarray]:
    """Return result to metric (repeats done, folds); the first repeat of solved ones is always."""
    k = job.recipe.cv
    wanted = {e.name: _repeats(job, e) for e in entries}
    found: dict[str, list[list[float]]] = {e.name: [] for e in entries}
    total = sum(k * count for count in wanted.values())
    begun = job.budget.spent
    with job.progress("cross-validation", total) as advance:
        for repeat, of in enumerate(folds):
            if repeat and job.budget.left < (job.budget.spent - begun) / repeat:
                job.say(f"Cross-validation stops after {repeat} of {len(folds)} repeats: no time.")
                break
            for entry in entries:
                if repeat < wanted[entry.name]:
                    row = []
                    for fold in range(k):
                        row.append(_one(job, entry, of, fold))
                        advance(1)
                    found[entry.name].append(row)
    return {name: np.asarray(rows) for name, rows in found.items()}


def _one(job: Job, entry: Entry, of: np.ndarray, fold: int) -> float:
    data, held = (
        job.data.take(np.flatnonzero(of != fold)),
        job.data.take(np.flatnonzero(of == fold)),
    )
    try:
        scores = refit(job, entry, data, seed=job.recipe.seed).adapted.scores(held.inputs)
    except HeadstartError:  # a fold without a second class, for instance
        return float("nan")
    return metric(data.task.facts().primary).compute(held.targets, scores)


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
