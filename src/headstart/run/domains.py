"""Whether two sets of unlabelled examples are of one domain: can a classifier tell them apart?"""

from __future__ import annotations

import numpy as np

from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Unlabelled
from headstart.errors import TooFewExamples
from headstart.evaluate.intervals import wilson
from headstart.ranking.probe import left_out

MOST = 500  # examples of each
LEAST = 20


def domain_accuracy(
    source: BackboneFeaturiser, ours: Unlabelled, theirs: Unlabelled, *, seed: int
) -> float:
    """Return the lower end of the 95 % interval of a domain classifier's accuracy.

    Ridge regression on frozen features, every example left out in turn, as many of either side;
    0.5 is chance, and 2 (2 a - 1) the proxy A-distance of Ben-David et al., 2010. Range [0, 1].
    Examples that are in both are left out. Raises TooFewExamples for fewer than 20 of one side.
    """
    shared = _keys(ours) & _keys(theirs)
    rng = rng_for(seed, "domains")
    rows = [_other(one, shared) for one in (ours, theirs)]
    count = min(MOST, *map(len, rows))
    if count < LEAST:
        same = f"; {len(shared)} are in both, which says that they are alike" if shared else ""
        raise TooFewExamples(
            f"Comparing domains needs at least {LEAST} different examples of each, got "
            f"{len(rows[0])} of the data and {len(rows[1])} of --target-domain{same}. Add "
            "unlabelled examples of where the model will be used, or leave --target-domain out."
        )
    # Drawn, not the first ones: data often lies in order of its classes.
    drawn = [np.sort(rng.permutation(side)[:count]) for side in rows]
    sides = [one.take(some) for one, some in zip((ours, theirs), drawn, strict=True)]
    features = np.concatenate([source.features(side) for side in sides]).astype(np.float64)
    domain = np.repeat([0, 1], count)
    outputs = left_out(features, np.eye(2)[domain])
    right = float((outputs.argmax(axis=1) == domain).mean())
    return wilson(right, 2 * count, 1.96)[0]


def _keys(inputs: Unlabelled) -> set[bytes]:
    return {bytes(row) for row in inputs.digests}


def _other(inputs: Unlabelled, shared: set[bytes]) -> np.ndarray:
    """Return the rows of the examples that are not shared."""
    return np.flatnonzero([bytes(row) not in shared for row in inputs.digests])
