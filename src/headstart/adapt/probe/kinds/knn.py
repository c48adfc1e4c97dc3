"""Nearest neighbours: by cosine or Euclidean distance, as many as do best out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from headstart.adapt.heads import CLASSES, LABELS, NUMBERS, Neighbours
from headstart.adapt.probe.calibrate import finished
from headstart.adapt.probe.choose import Yardstick, picked
from headstart.adapt.probe.given import Fit, Given
from headstart.adapt.probe.kinds.kind import Settings
from headstart.adapt.solvers.design import device_for, moments_of
from headstart.adapt.solvers.neighbours import answered

UNFOLDED_NEIGHBOURS = 3
MEANINGS = {"classification": CLASSES, "multi-label": LABELS, "regression": NUMBERS}


@dataclass(frozen=True, slots=True)
class NearestNeighbours:
    """Keeps the training features; nothing but the distance and the number is fitted."""

    name = "knn"
    dense = True

    def fit(self, given: Given, settings: Settings) -> Fit:
        best: Fit | None = None
        for unit in (True, False):
            fit = _placed_fit(_empty(given, unit), given, settings)
            if best is None or fit.loss < best.loss:
                best = fit
        assert best is not None
        return best


def _placed_fit(head: Neighbours, given: Given, settings: Settings) -> Fit:
    head = replace(head, stored=head.placed(given.features))
    metric = "cosine" if int(head.unit[0]) else "euclidean"
    if given.folds is None:
        count = min(UNFOLDED_NEIGHBOURS, given.count)
        head, left_out = replace(head, count=np.asarray([count])), None
    else:
        head, left_out = _chosen(head, given, settings.neighbours)
    fit = finished(head, left_out, given, scale=settings.scale)
    return fit.told(head="nearest neighbours", metric=metric, neighbours=int(head.count[0]))


def _chosen(head: Neighbours, given: Given, counts: Sequence[int]) -> tuple[Neighbours, np.ndarray]:
    """Return the head with the number of neighbours that does best, and its held-out outputs."""
    device = device_for(head.stored, given.count)
    look = Yardstick(given, device)
    seen = []
    for count, said in _held(head, given, counts, device).items():
        sized = replace(head, count=np.asarray([count]))
        outputs = torch.from_numpy(sized.spoken(said.double().cpu().numpy())).to(device)
        seen.append(look(sized, outputs))
    found = picked(seen)
    return found.setting, found.left_out


def _held(
    head: Neighbours, given: Given, counts: Sequence[int], device: torch.device
) -> dict[int, torch.Tensor]:
    """Return by number of neighbours what those outside an example's fold say of it (n, k)."""
    folds = given.folds
    assert folds is not None
    stored = torch.from_numpy(head.stored.astype(np.float32)).to(device)
    answers = torch.from_numpy(head.answers.astype(np.float32)).to(device)
    fewest = min(int(folds.inside(f).sum()) for f in range(folds.count) if folds.inside(f).any())
    counts = sorted({min(count, fewest) for count in counts})
    held = {count: torch.zeros_like(answers) for count in counts}
    for fold in range(folds.count):
        inside = torch.from_numpy(folds.inside(fold)).to(device)
        asked = torch.from_numpy((folds.of == fold) & folds.asked).to(device)
        if bool(asked.any()):
            found = answered(stored[asked], stored[inside], answers[inside], counts)
            for count, said in found.items():
                held[count][asked] = said
    return held


def _empty(given: Given, unit: bool) -> Neighbours:
    """Return a head that has its distance, but no examples and no number of neighbours yet."""
    mean, scale = moments_of(given.features)
    varies = np.isfinite(scale)
    overall = float(np.sqrt(np.mean(scale[varies] ** 2))) if varies.any() else 1.0
    truth = given.truth().numpy()
    prior = (truth.sum(axis=0) + 1.0) / (len(truth) + 2.0)
    if given.task.name == "classification":
        prior = prior / prior.sum()
    return Neighbours(
        stored=np.empty((0, given.features.shape[1]), np.float16),
        answers=truth if given.numeric else truth.astype(np.int8),
        mean=mean.astype(np.float32),
        scale=np.asarray([overall], np.float32),
        unit=np.asarray([int(unit)]),
        count=np.asarray([0]),
        prior=prior.astype(np.float64),
        meaning=np.asarray([MEANINGS[given.task.name]]),
        gain=np.asarray([1.0, 0.0]),
    )
