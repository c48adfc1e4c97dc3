"""Isotonic calibration on out-of-fold scores, one class against the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, softmax

from headstart.adapt.heads import CLASSES, LABELS, Head, Isotonic
from headstart.adapt.probe.calibrate import held_loss
from headstart.adapt.probe.given import Fit, Given, truth_of


def corrected(fit: Fit, given: Given) -> Fit:
    """Return the fit with its probabilities corrected; as it is for numbers, or without folds.

    What is held out of each fold is corrected by the curves of the other folds.
    """
    rows = given.asked
    if fit.left_out is None or given.numeric or not len(rows):
        return fit
    head = curves(fit.head, fit.left_out[rows], given.targets[rows], given)
    left_out = fit.left_out.copy()
    assert given.folds is not None
    folds = given.folds.of[rows]
    for fold in np.unique(folds):
        mine, rest = rows[folds == fold], rows[folds != fold]
        if len(rest) == 0:  # validation data of one's own is one fold
            mine, rest = rows, rows
        part = curves(fit.head, fit.left_out[rest], given.targets[rest], given)
        left_out[mine] = part.corrected(fit.left_out[mine])
    return replace(fit, head=head, left_out=left_out).told(
        calibration="isotonic", out_of_fold_loss=held_loss(left_out, given)
    )


def curves(inner: Head, outputs: np.ndarray, targets: np.ndarray, given: Given) -> Isotonic:
    """Fit rising curves to held-out outputs (m, k) and their targets."""
    meaning = CLASSES if given.task.name == "classification" else LABELS
    shares = softmax(outputs, axis=1) if meaning == CLASSES else expit(outputs)
    truth = truth_of(targets, given.task).double().numpy()
    found = [rising(shares[:, c], truth[:, c]) for c in range(truth.shape[1])]
    return Isotonic(
        inner,
        before=np.concatenate([before for before, _ in found]),
        after=np.concatenate([after for _, after in found]),
        ends=np.cumsum([0] + [len(before) for before, _ in found]),
        meaning=np.asarray([meaning]),
    )


def rising(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (x, y) of the rising curve closest to 0 and 1 in `truth` (m,).

    One example's worth of the overall frequency is mixed in, so that no probability is 0 or 1.
    Source: the pool-adjacent-violators algorithm, through scipy.
    """
    places, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=truth) / counts
    level = isotonic_regression(means, weights=counts).x
    corner = np.ones(len(level), bool)  # the inside of a flat piece says nothing
    corner[1:-1] = (level[1:-1] != level[:-2]) | (level[1:-1] != level[2:])
    count = len(truth)
    base = (truth.sum() + 1.0) / (count + 2.0)
    return places[corner], (level[corner] * count + base) / (count + 1.0)
