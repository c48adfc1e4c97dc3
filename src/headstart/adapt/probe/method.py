"""The probe: frozen features and a tuned head. A solver, not an epoch loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.adapt.adapted import Adapted
from headstart.adapt.featurisers import BackboneFeaturiser, Featuriser
from headstart.adapt.folds import Folds
from headstart.adapt.method import Context, Trained
from headstart.adapt.probe.auto import simplest_of_the_best, worth_trying
from headstart.adapt.probe.given import Fit, Given, check
from headstart.adapt.probe.isotonic import corrected
from headstart.adapt.probe.kinds import HEADS, Kind
from headstart.adapt.probe.kinds.kind import Settings
from headstart.adapt.solvers.design import Scaling
from headstart.compute.budget import Stopwatch
from headstart.compute.randomness import seed_for
from headstart.compute.threads import threads, threads_for
from headstart.data.task import Task
from headstart.errors import UsageError

STRENGTHS = tuple(float(s) for s in np.logspace(2, -6, 33))
KERNEL_STRENGTHS = tuple(float(s) for s in np.logspace(0, -7, 22))
GAMMAS = (0.3, 1.0, 3.0)  # times 1 / (number of features): around what "scale" means in SVMs
LANDMARKS = 1000
NEIGHBOURS = (1, 2, 3, 5, 8, 13, 21, 34, 55)
AUTO = "auto"
CALIBRATIONS = ("temperature", "isotonic", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A head on frozen features.

    `head`: "logistic" (ridge for regression), "ridge", "svm", "rbf", "rbf-svm", "knn", or "auto":
    the simplest of these whose out-of-fold loss is within a standard error of the best.
    `strengths`: L2 regularisation per example, on scaled features (1 / (n C) in scikit-learn's
    terms), of linear heads; `kernel_strengths` those of "rbf" and "rbf-svm". `scalings` of the
    features are fitted each, and their mean too (which is linear again, and hedges the choice);
    the lowest out-of-fold loss is taken. `gammas`: widths of the kernel times the number of
    features; it is exact up to `landmarks` examples. `neighbours`: numbers tried by "knn".
    `calibrate`: "temperature" scales outputs as out-of-fold outputs ask for (Guo et al., ICML
    2017), "isotonic" corrects each class by a rising curve besides; "none". True and False mean
    the first and the last. Raises UsageError for a setting that does not exist.
    """

    head: str = "logistic"
    strengths: tuple[float, ...] = STRENGTHS
    scalings: tuple[Scaling, ...] = ("global", "column")
    kernel_strengths: tuple[float, ...] = KERNEL_STRENGTHS
    gammas: tuple[float, ...] = GAMMAS
    landmarks: int = LANDMARKS
    neighbours: tuple[int, ...] = NEIGHBOURS
    calibrate: str | bool = "temperature"
    name = "probe"
    uses_model = True
    trains = False

    def __post_init__(self) -> None:
        heads = (AUTO, *(kind.name for kind in HEADS))
        _known("head", self.head, heads)
        if not isinstance(self.calibrate, bool):
            _known("calibrate", self.calibrate, CALIBRATIONS)
        for scaling in self.scalings:
            _known("scalings", scaling, ("column", "global", "none"))
        for name in ("strengths", "scalings", "kernel_strengths", "gammas", "neighbours"):
            if not getattr(self, name):
                raise UsageError(f"Probe.{name} is empty; at least one value is needed.")
        for name in ("strengths", "kernel_strengths", "gammas"):
            _positive(name, getattr(self, name))
        _positive("neighbours", self.neighbours)
        _positive("landmarks", (self.landmarks,))

    @property
    def calibration(self) -> str:
        """Return "temperature", "isotonic" or "none"."""
        if isinstance(self.calibrate, bool):
            return "temperature" if self.calibrate else "none"
        return self.calibrate

    def adapt(self, context: Context) -> Trained:
        """Return the probe on the context's backbone. Raises ValueError without one."""
        if context.source is None:
            raise ValueError("Probe needs a backbone in the context.")
        name = f"probe: {context.source.title}"
        return solve(name, self.name, self, context.source, context)

    def fit(
        self, features: Any, targets: np.ndarray, task: Task, folds: Folds | None, *, seed: int = 0
    ) -> Fit:
        """Fit features (n, d), dense or CSR, to `targets` as `Dataset.targets` holds them.

        `seed` draws the kernel's landmarks. Raises TooFewExamples for no examples or one class,
        DataError for NaN features, UsageError for sparse ones where the head needs dense ones.
        """
        given = Given(features, targets, task, folds)
        check(given)
        kinds = self._kinds(given)
        fits = [kind.fit(given, self.settings(seed)) for kind in kinds]
        found = fits[0]
        if len(fits) > 1:
            found = simplest_of_the_best(fits, given)
            tried = {kind.name: _short(fit.loss) for kind, fit in zip(kinds, fits, strict=True)}
            found = found.told(kind=kinds[fits.index(found)].name, tried=tried)
        return corrected(found, given) if self.calibration == "isotonic" else found

    def _kinds(self, given: Given) -> list[Kind]:
        if self.head == AUTO:
            kinds = [kind for kind in HEADS if worth_trying(kind, given)]
            return kinds[:1] if given.folds is None else kinds
        (kind,) = (kind for kind in HEADS if kind.name == self.head)
        if given.sparse and kind.dense:
            able = ", ".join(kind.name for kind in HEADS if not kind.dense)
            raise UsageError(f"The head {self.head!r} takes dense features; sparse ones: {able}.")
        return [kind]

    def settings(self, seed: int) -> Settings:
        """Return what kinds of head read of these settings."""
        return Settings(
            strengths=self.strengths,
            scalings=self.scalings,
            kernel_strengths=self.kernel_strengths,
            gammas=self.gammas,
            landmarks=self.landmarks,
            neighbours=self.neighbours,
            scale=self.calibration != "none",
            seed=seed,
        )


def _known(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"Probe.{name} has no {value!r}; there are {', '.join(known)}.")


def _positive(name: str, values: tuple[float, ...]) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UsageError(f"Probe.{name} must be positive numbers, got {value!r}.")


def _short(loss: float) -> float:
    return float(f"{loss:.5g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelProbe:
    """A logistic or ridge head over a Gaussian kernel: the non-linear simple model."""

    strengths: tuple[float, ...] = KERNEL_STRENGTHS
    gammas: tuple[float, ...] = GAMMAS
    landmarks: int = LANDMARKS
    calibrate: str | bool = "temperature"
    seed: int = 0
    name = "kernel probe"

    def fit(self, features: Any, targets: np.ndarray, task: Task, folds: Folds | None) -> Fit:
        """Fit dense features (n, d) to `targets`, as `Probe` does with the head "rbf"."""
        probe = Probe(
            head="rbf", kernel_strengths=self.strengths, gammas=self.gammas,
            landmarks=self.landmarks, calibrate=self.calibrate,
        )  # fmt: skip
        return probe.fit(features, targets, task, folds, seed=self.seed)


def solve(
    name: str, method: str, solver: Probe, featuriser: Featuriser, context: Context,
) -> Trained:  # fmt: skip
    """Get features, fit a head on all of the context's data, and say how it did held out."""
    watch = Stopwatch()
    with watch.time("extract"):
        features = featuriser.features(context.data.inputs, progress=context.progress)
    task, targets = context.data.task, context.data.targets
    seed = seed_for(context.seed, "landmarks")
    with watch.time("fit"), threads(threads_for(work_of(features, context))):
        found = solver.fit(features, targets, task, context.folds, seed=seed)
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
