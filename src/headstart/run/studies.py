"""What is asked of a run beyond its verdict: the same results made again on other rows or seeds.

Everything is fitted and predicted before the test labels are opened; only measuring comes after.
"""

from __future__ import annotations

from headstart.adapt import Context, Trained, carve, plan
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Dataset
from headstart.run.choosing import Entry
from headstart.run.job import Job
from headstart.run.scene import VALIDATION

LEAST = 1.0  # seconds that a training gets


def took(entry: Entry) -> float:
    """Return the seconds that a result took to fit, features not counted: they are kept."""
    return sum(s for name, s in entry.trained.seconds.items() if name != "extract")


def source_of(job: Job, entry: Entry) -> BackboneFeaturiser | None:
    """Return the frozen backbone that a result starts from; None where it uses none."""
    return next((f for f in job.backbones if f.backbone.card.id == entry.model), None)


def refit(job: Job, entry: Entry, data: Dataset, *, seed: int, own: bool = False) -> Trained:
    """Make a result again on `data`, from nothing but its method and its backbone.

    Whatever the method tunes, it tunes inside `data`. `own`: `data` are all the run's, and the
    person's own validation part stays validation. Raises what the method raises.
    """
    held = job.own_validation if own else None
    rng = rng_for(job.recipe.seed, "validation")
    return entry.method.adapt(
        Context(
            data=data,
            folds=plan(data, held, rng=rng_for(job.recipe.seed, "folds")),
            validation=carve(data, VALIDATION, rng=rng) if held is None else held,
            seed=seed,
            # A trained one gets the time that it had in the run, by its share of the data.
            seconds=max(LEAST, took(entry) * len(data) / len(job.data)),
            source=source_of(job, entry),
        )
    )
