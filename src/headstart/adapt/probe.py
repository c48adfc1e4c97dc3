"""Frozen features and a tuned head: a solver, not an epoch loop.

One decomposition of the features serves all strengths and all folds. The strength is chosen on
out-of-fold outputs, which then also calibrate the probabilities and stand for the candidate when
candidates are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import minimize_scalar

from headstart.adapt.adapted import Adapted
from headstart.adapt.featurisers import BackboneFeaturiser, Featuriser
from headstart.adapt.folds import Folds
from headstart.adapt.heads import Head, Kernel, Linear, gaussian
from headstart.adapt.method import Context, Trained
from headstart.adapt.solvers.design import Design, Scaling, design, moments_of
from headstart.adapt.solvers.logistic import (
    SIGMOID,
    SOFTMAX,
    Link,
    Path,
    even_weights,
    held_out,
)
from headstart.adapt.solvers.ridge import RidgeFit, ridge, ridge_by_folds
from headstart.compute.budget import Stopwatch
from headstart.compute.threads import threads, threads_for
from headstart.data.task import Task

STRENGTHS = tuple(float(s) for s in np.logspace(2, -6, 33))
KERNEL_STRENGTHS = tuple(float(s) for s in np.logspace(0, -7, 22))
GAMMAS = (0.3, 1.0, 3.0)  # times 1 / (number of features): around what "scale" means in SVMs
LANDMARKS = 1000
CHOICE_TOLERANCE = 1e-4  # nats per example: enough to tell strengths apart
FINAL_TOLERANCE = 1e-7
UNFOLDED_STRENGTH = 1.0  # where there is too little data to choose one


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted head. `left_out` (n, k): raw outputs of each training example by a fit without it;
    None where the data was too small to fold. `details` goes into the record."""

    head: Head
    left_out: np.ndarray | None
    details: dict[str, Any]
    trained: int  # number of fitted parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A linear head on frozen features: multinomial or binary logistic regression, or ridge.

    `strengths`: L2 regularisation per example, on scaled features (1 / (n C) in scikit-learn's
    terms). `scalings` of the features are fitted each, and their mean too (which is linear again,
    and hedges the choice); the lowest out-of-fold loss is taken. `calibrate`:
    scale the outputs by the temperature that out-of-fold outputs ask for (Guo et al., ICML 2017).
    """

    strengths: tuple[float, ...] = STRENGTHS
    scalings: tuple[Scaling, ...] = ("global", "column")
    calibrate: bool = True
    name = "probe"
    uses_model = True
    trains = False

    def adapt(self, context: Context) -> Trained:
        """Return the probe on the context's backbone. Raises ValueError without one."""
        if context.source is None:
            raise ValueError("Probe needs a backbone in the context.")
        name = f"probe: {context.source.title}"
        return solve(name, self.name, self, context.source, context)

    def fit(self, features: Any, targets: np.ndarray, task: Task, folds: Folds | None) -> Fit:
        """Fit features (n, d), dense or CSR, to `targets` as `Dataset.targets` holds them."""
        scalings = self.scalings
        if folds is None or sparse.issparse(features):
            scalings = scalings[:1]
        fits = [self._scaled(scaling, features, targets, task, folds) for scaling in scalings]
        if len(fits) > 1:
            fits.append(_blended(fits, targets, task))
        return min(fits, key=lambda fit: fit.details["out_of_fold_loss"])

    def _scaled(
        self, scaling: Scaling, features: Any, targets: np.ndarray, task: Task,
        folds: Folds | None,
    ) -> Fit:  # fmt: skip
        details = {"head": "linear", "scaling": scaling}
        if task.name == "regression" and sparse.issparse(features):
            ridge_fit = _sparse_ridge(features, targets, self.strengths, folds)
            head = Linear(ridge_fit.weights, ridge_fit.bias)
            return _finished_ridge(head, ridge_fit, details)
        prepared = design(features, scaling=scaling)
        if task.name == "regression":
            ridge_fit = _ridge(prepared, targets, self.strengths, folds)
            head = Linear(ridge_fit.weights, ridge_fit.bias)
            return _finished_ridge(head, ridge_fit, details)
        choice = _choose(prepared, targets, task, self.strengths, folds)
        head = Linear(*_final(prepared, targets, task, choice.strength))
        return _finished(head, choice, targets, task, self.calibrate, details)


def solve(
    name: str, method: str, solver: Probe | KernelProbe, featuriser: Featuriser, context: Context,
) -> Trained:  # fmt: skip
    """Get features, fit a head on all of the context's data, and say how it did held out."""
    watch = Stopwatch()
    with watch.time("extract"):
        features = featuriser.features(context.data.inputs, progress=context.progress)
    task, targets = context.data.task, context.data.targets
    with watch.time("fit"), threads(threads_for(work_of(features, context))):
        found = solver.fit(features, targets, task, context.folds)
    return packed(name, method, found, featuriser, context, watch.seconds)


def work_of(features: Any, context: Context) -> float:
    """Return the multiplications of one product of the solver with all folds."""
    folds = context.folds.count if context.folds else 1
    return float(np.prod(features.shape)) * context.data.task.outputs * folds


def packed(
    name: str, method: str, found: Fit, featuriser: Featuriser, context: Context,
    seconds: dict[str, float],
) -> Trained:  # fmt: skip
    """Put a fitted head and its features together."""
    task, inputs = context.data.task, context.data.inputs
    rows = np.arange(len(context.data)) if context.folds else np.empty(0, np.int64)
    outputs = found.left_out if found.left_out is not None else np.empty((0, task.outputs))
    if context.folds is not None and context.folds.apart is not None:
        rows = rows[context.folds.of == context.folds.apart]  # the person's own validation
        outputs = outputs[rows]
    frozen, facts = 0, {}
    if isinstance(featuriser, BackboneFeaturiser):
        frozen, facts = featuriser.backbone.card.parameters or 0, featuriser.facts()
    adapted = Adapted(name, method, inputs.modality, task, featuriser, found.head)
    return Trained(
        adapted=adapted,
        rows=rows,
        outputs=outputs,
        seconds=seconds,
        parameters={"total": frozen + found.trained, "trained": found.trained},
        details=found.details | facts,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelProbe:
    """A logistic or ridge head over a Gaussian kernel: the non-linear simple model.

    Exact kernel up to `landmarks` examples, Nyström beyond. `gammas` are tried in units of
    1 / d on standardised features.
    """

    strengths: tuple[float, ...] = KERNEL_STRENGTHS
    gammas: tuple[float, ...] = GAMMAS
    landmarks: int = LANDMARKS
    calibrate: bool = True
    seed: int = 0
    name = "kernel probe"

    def fit(self, features: Any, targets: np.ndarray, task: Task, folds: Folds | None) -> Fit:
        """Fit dense features (n, d) to `targets`."""
        mean, scale = moments_of(features)
        varies = np.isfinite(scale)
        overall = np.sqrt(np.mean(scale[varies] ** 2)) if varies.any() else 1.0
        mean, scale = mean.astype(np.float32), np.where(varies, overall, np.inf).astype(np.float32)
        standard = ((features - mean) / scale).astype(np.float32)
        rows = np.arange(len(standard))
        if len(rows) > self.landmarks:
            rows = np.random.default_rng(self.seed).choice(rows, self.landmarks, replace=False)
        marks = standard[np.sort(rows)]
        fits = [
            self._at(g, standard, marks, mean, scale, targets, task, folds) for g in self.gammas
        ]
        return min(fits, key=lambda fit: fit.details["out_of_fold_loss"])

    def _at(
        self, gamma: float, standard: np.ndarray, marks: np.ndarray, mean: np.ndarray,
        scale: np.ndarray, targets: np.ndarray, task: Task, folds: Folds | None,
    ) -> Fit:  # fmt: skip
        width = gamma / max(1, int(np.isfinite(scale).sum()))
        values, vectors = np.linalg.eigh(gaussian(marks, marks, width))
        kept = values > 1e-8 * values.max()
        whiten = vectors[:, kept] / np.sqrt(values[kept])
        mapped = (gaussian(standard, marks, width) @ whiten).astype(np.float32)
        details = {"head": "rbf kernel", "gamma_times_d": gamma, "landmarks": len(marks)}
        arrays = (marks, mean, scale, np.asarray([width], np.float32))
        if task.name == "regression":
            fit = _ridge(design(mapped, scaling="none"), targets, self.strengths, folds)
            head = Kernel(*arrays, whiten @ fit.weights, fit.bias)
            return _finished_ridge(head, fit, details)
        prepared = design(mapped, scaling="none")
        choice = _choose(prepared, targets, task, self.strengths, folds)
        weights, bias = _final(prepared, targets, task, choice.strength)
        head = Kernel(*arrays, whiten @ weights, bias)
        return _finished(head, choice, targets, task, self.calibrate, details)


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    strength: float
    left_out: np.ndarray | None  # (n, k)
    asked: np.ndarray | None = None  # (n,) bool: rows of `left_out` that mean something


def _choose(
    prepared: Design, targets: np.ndarray, task: Task, strengths: Sequence[float],
    folds: Folds | None,
) -> _Choice:  # fmt: skip
    """Walk the path of all folds together and pick a strength by out-of-fold outputs.

    Accuracy decides where it can tell strengths apart (by more than a quarter of its standard
    error), log loss among the rest. The walk ends early once log loss has clearly turned.
    """
    if folds is None:
        return _Choice(UNFOLDED_STRENGTH, None)
    truth = truth_of(targets, task)
    fold = torch.from_numpy(folds.of)
    inside = np.stack([folds.inside(at) for at in range(folds.count)], axis=1)
    path = Path(prepared, truth, even_weights(torch.from_numpy(inside)), link_of(task))
    asked = torch.from_numpy(folds.asked)
    smooth = smoothed(truth[asked], link_of(task))
    seen: list[tuple[float, float, float, Any]] = []  # strength, log loss, errors, outputs
    for strength in sorted(strengths, reverse=True):
        path.solve(strength, tolerance=CHOICE_TOLERANCE, most=40)
        outputs = held_out(path.outputs, fold)
        loss = _loss_at_best_temperature(path.link, outputs[asked], smooth)
        errors = _errors(outputs[asked], truth[asked], task)
        seen.append((strength, loss, errors, outputs.clone()))
        lowest = min(entry[1] for entry in seen)
        fewest = min(range(len(seen)), key=lambda at: seen[at][2])
        if loss > 1.3 * lowest and fewest < len(seen) - 6:
            break
    best = min(entry[2] for entry in seen)
    slack = 0.25 * np.sqrt(max(best, 0.5))  # of the count of errors
    close = [entry for entry in seen if entry[2] <= best + slack]
    strength, _, _, outputs = min(close, key=lambda entry: entry[1])
    return _Choice(strength, outputs.double().numpy(), folds.asked)


def _loss_at_best_temperature(link: Link, outputs: torch.Tensor, truth: torch.Tensor) -> float:
    """Log loss once the scale of the outputs is set right: what calibration will do anyway.

    Without it a weak strength would be taken for its scale alone.
    """
    factors = torch.logspace(-1.2, 1.2, 13)
    losses = link.loss(outputs[:, None] * factors[None, :, None], truth[:, None])
    return float(losses.mean(dim=0).min())


def _errors(outputs: torch.Tensor, truth: torch.Tensor, task: Task) -> float:
    if task.name == "classification":
        return float((outputs.argmax(dim=1) != truth.argmax(dim=1)).sum())
    return float(((outputs > 0) != (truth > 0.5)).float().mean(dim=1).sum())


def _final(
    prepared: Design, targets: np.ndarray, task: Task, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit all the examples at one strength, warmed by two stronger ones."""
    truth = truth_of(targets, task)
    path = Path(prepared, truth, torch.full((len(truth), 1), 1 / len(truth)), link_of(task))
    path.solve(strength * 30, tolerance=CHOICE_TOLERANCE, most=50)
    path.solve(strength, tolerance=FINAL_TOLERANCE, most=200)
    return prepared.weights(path.solution[:, 0])


def _finished(
    head: Linear | Kernel, choice: _Choice, targets: np.ndarray, task: Task, calibrate: bool,
    details: dict[str, Any],
) -> Fit:  # fmt: skip
    details = details | {"strength": choice.strength}
    left_out, asked = choice.left_out, choice.asked
    if left_out is None or asked is None:
        return Fit(head, None, details | {"out_of_fold_loss": float("inf")}, _size(head))
    if calibrate:
        factor = 1.0 / temperature(left_out[asked], targets[asked], task)
        head, left_out = head.sharpened(factor), left_out * factor
        details["temperature"] = round(1.0 / factor, 4)
    details["out_of_fold_loss"] = mean_loss(left_out[asked], targets[asked], task)
    return Fit(head, left_out, details, _size(head))


def _blended(fits: Sequence[Fit], targets: np.ndarray, task: Task) -> Fit:
    """Return the mean of linear fits, which is a linear fit."""
    heads = [fit.head for fit in fits if isinstance(fit.head, Linear)]
    head = Linear(
        np.mean([head.weights for head in heads], axis=0),
        np.mean([head.bias for head in heads], axis=0),
    )
    held = [fit.left_out for fit in fits if fit.left_out is not None]
    left_out = np.mean(held, axis=0)
    if task.name == "regression":
        loss = float(np.mean((left_out[:, 0] - targets) ** 2))
    else:
        loss = mean_loss(left_out, targets, task)
    details = {
        "head": "linear",
        "scaling": "mean of " + " and ".join(fit.details["scaling"] for fit in fits),
        "strength": [fit.details["strength"] for fit in fits],
        "out_of_fold_loss": loss,
    }
    return Fit(head, left_out, details, fits[0].trained)


def temperature(outputs: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Return the T in [0.05, 20] for which outputs / T have the least log loss.

    Targets are smoothed: n examples without an error do not show that there is none in 10 n.
    Source: Guo et al., ICML 2017. `outputs` must not come from a fit on the same examples.
    """
    link = link_of(task)
    truth = smoothed(truth_of(targets, task).double(), link)
    raw = torch.from_numpy(np.ascontiguousarray(outputs, dtype=np.float64))

    def loss(log_t: float) -> float:
        return float(link.loss(raw[:, None] * np.exp(-log_t), truth[:, None]).mean())

    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def smoothed(truth: torch.Tensor, link: Link) -> torch.Tensor:
    """Spread one example's worth of truth (n, k) over all outcomes.

    Source: Platt, Probabilities for SV machines, 1999, sec. 2.2.
    """
    share = 1.0 / (len(truth) + 1)
    even = 0.5 if link is SIGMOID else 1.0 / truth.shape[1]
    return truth * (1 - share) + share * even


def mean_loss(outputs: np.ndarray, targets: np.ndarray, task: Task) -> float:
    """Return the mean log loss (nats; summed over labels for multi-label) of raw outputs (n, k)."""
    link = link_of(task)
    truth = truth_of(targets, task).double()
    raw = torch.from_numpy(np.ascontiguousarray(outputs, dtype=np.float64))
    return float(link.loss(raw[:, None], truth[:, None]).mean())


def truth_of(targets: np.ndarray, task: Task) -> torch.Tensor:
    """Return targets as (n, k) float32 of 0 and 1."""
    if task.name == "multi-label":
        return torch.from_numpy(targets.astype(np.float32))
    return torch.nn.functional.one_hot(torch.from_numpy(targets), task.outputs).float()


def link_of(task: Task) -> Link:
    return SIGMOID if task.name == "multi-label" else SOFTMAX


def _ridge(
    prepared: Design, targets: np.ndarray, strengths: Sequence[float], folds: Folds | None
) -> RidgeFit:
    if folds is None:
        return ridge(prepared, targets, strengths)
    return ridge_by_folds(prepared, targets, strengths, folds)


def _sparse_ridge(
    features: Any, targets: np.ndarray, strengths: Sequence[float], folds: Folds | None
) -> RidgeFit:
    from sklearn.linear_model import Ridge

    def fit(rows: np.ndarray, strength: float) -> Any:
        model = Ridge(alpha=strength * len(rows), solver="sparse_cg", tol=1e-4)
        return model.fit(features[rows], targets[rows])

    everything = np.arange(len(targets))
    folds = folds or Folds(everything % min(5, len(everything)))
    left_out = np.zeros((len(strengths), len(targets)))
    for fold in range(folds.count):
        asked = np.flatnonzero((folds.of == fold) & folds.asked)
        for at, strength in enumerate(strengths if len(asked) else ()):
            model = fit(np.flatnonzero(folds.inside(fold)), strength)
            left_out[at, asked] = model.predict(features[asked])
    errors = ((left_out - targets)[:, folds.asked] ** 2).mean(axis=1)
    best = int(errors.argmin())
    model = fit(everything, strengths[best])
    return RidgeFit(
        weights=model.coef_.astype(np.float32)[:, None],
        bias=np.asarray([model.intercept_], np.float32),
        strength=strengths[best],
        left_out=left_out[best],
        errors=errors,
    )


def _finished_ridge(head: Linear | Kernel, fit: RidgeFit, details: dict[str, Any]) -> Fit:
    details = details | {
        "strength": fit.strength,
        "out_of_fold_loss": float(fit.errors.min()),
    }
    return Fit(head, fit.left_out[:, None], details, _size(head))


def _size(head: Linear | Kernel) -> int:
    return int(head.weights.size + head.bias.size)
