"""What advice looks at: data, models and budget, measured on few examples of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from headstart.adapt import BASELINES, Context, Probe, Trained, held_out
from headstart.adapt.baselines import FromScratch
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.finetune import FineTune
from headstart.adapt.forecast import Forecast, forecast
from headstart.adapt.gradient import TIME_SHARE
from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Dataset
from headstart.errors import HeadstartError
from headstart.evaluate.intervals import margin
from headstart.features.pace import seconds_per_thousand, working_memory
from headstart.ranking.candidate import embedder
from headstart.ranking.reference import find_reference
from headstart.ranking.resample import sample
from headstart.ranking.similarity import named, task_similarity
from headstart.ranking.tree import Fact, Facts, Leaf, read_tree

LOOKED_AT = 200  # training examples on which simple model and probes are tried
WARMING = 20  # of them, to have everything imported
DISTANCE = 1000  # training examples for the distance from the source data
TRAINING_SHARE = 0.45  # of the time that is left, for a method that trains
LEAST_SECONDS, LEAST_SHARE = 10.0, 0.1  # such a method gets so long, or such a share of a budget


def least_seconds(budget: float) -> float:
    """Return what a method that trains gets of a budget, though all of it is spent.

    >>> least_seconds(600.0), least_seconds(20.0)
    (10.0, 2.0)
    """
    return min(LEAST_SECONDS, LEAST_SHARE * budget)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything that may be looked at. The test part is a number of examples, no more.

    `own`: rows of the person's own validation part. `seconds`: the budget that is left. `least`:
    what a method that trains gets of it in any case.
    """

    data: Dataset
    own: np.ndarray | None
    test: int
    backbones: list[BackboneFeaturiser]
    seconds: float
    seed: int
    progress: Progress = silent
    say: Callable[[str], None] = field(default=lambda sentence: None)
    least: float = LEAST_SECONDS

    @property
    def training_seconds(self) -> float:
        """What a method that trains may take, if it began now."""
        return max(self.least, TRAINING_SHARE * self.seconds)

    def context(self, source: BackboneFeaturiser | None, data: Dataset | None = None) -> Context:
        """Return what methods are given: all the data, or `data` with folds of its own."""
        data, own = (self.data, self.own) if data is None else (data, None)
        folds, validation = held_out(data, own, self.seed)
        return Context(
            data=data, folds=folds, validation=validation,
            seed=self.seed, seconds=self.training_seconds, source=source,
            progress=self.progress, say=self.say,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One model on few examples. `seconds`: for 1,000 examples. `memory`: bytes; `probe`: None
    where the few cannot be learned from."""

    source: BackboneFeaturiser
    seconds: float
    memory: int | None
    probe: Trained | None

    @property
    def model(self) -> str:
        return self.source.backbone.card.id


@dataclass(frozen=True, slots=True, eq=False)
class Sights:
    """All models, and the simple model beside them, on the same `part` of the training data."""

    part: Dataset
    simple: Trained | None
    models: list[Sight]

    def leader(self) -> Sight | None:
        """Return the model of the best probe that can be trained, else of the best; None: no model.

        By the per-example score of `each_right` on rows that all of them held out.
        """
        able = [one for one in self.models if one.source.backbone.trainable] or self.models
        if not able:
            return None
        return max(able, key=lambda one: _score(one.probe, self.part))


def _score(trained: Trained | None, data: Dataset) -> float:
    if trained is None or not len(trained.rows):
        return -np.inf
    return float(each_right(trained, data, trained.rows).mean())


def look(scene: Scene) -> Sights:
    """Measure every model, and the simple one, on at most LOOKED_AT training examples."""
    data = scene.data
    rows = sample(data.targets, LOOKED_AT, rng=rng_for(scene.seed, "advice"))
    part = data.take(rows)
    simple = next(method for method in BASELINES if method.name == "simple")
    quiet = replace(scene.context(None, part), progress=silent, say=lambda sentence: None)
    some = part.take(rng_for(0, "few").permutation(len(part))[:WARMING])
    few = replace(scene.context(None, some), say=lambda sentence: None)
    _tried(lambda: simple.adapt(few))  # the first time holds imports, and is no measure
    tried = _tried(lambda: simple.adapt(quiet))
    models = []
    for source in scene.backbones:
        pace = seconds_per_thousand(source.extractor, data.inputs)
        own = replace(quiet, source=source)
        probe = _tried(lambda own=own: Probe().adapt(own))  # type: ignore[misc]
        models.append(Sight(source, pace, working_memory(source.extractor, data.inputs), probe))
    return Sights(part, tried, models)


def _tried(make: Callable[[], Trained]) -> Trained | None:
    """A part of the data may hold one class only; that says nothing of the whole."""
    try:
        return make()
    except HeadstartError:
        return None


def each_right(trained: Trained, data: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return how right each held-out answer is (m,): 1 or 0; the share of its labels; or, for
    regression, minus the squared error in variances of the target."""
    scores, targets = trained.held_scores(rows), data.targets[rows]
    if data.task.name == "classification":
        return np.asarray(scores.argmax(axis=1) == targets, np.float64)
    if data.task.name == "multi-label":
        return np.asarray(((scores >= 0.5) == (targets > 0)).mean(axis=1), np.float64)
    spread = max(1e-12, float(np.var(data.targets)))
    errors = np.asarray(scores, np.float64).reshape(-1) - targets
    return np.asarray(-(errors**2) / spread)


def lead(ahead: Trained | None, behind: Trained | None, data: Dataset) -> float | None:
    """Return the upper end of the paired 95 % interval of `ahead` over `behind`.

    On rows that both held out; None for fewer than 20 of them, or where all are of one group.
    """
    if ahead is None or behind is None:
        return None
    rows = np.intersect1d(ahead.rows, behind.rows)
    if len(rows) < 20:
        return None
    gap = each_right(ahead, data, rows) - each_right(behind, data, rows)
    half = margin(gap, None if data.groups is None else data.groups[rows])
    return float(gap.mean()) + half if np.isfinite(half) else None


@dataclass(eq=False)
class Forecasts:
    """What training one model costs, timed when it is first asked for: a few steps each.

    None where the model cannot be trained; what cannot be timed is said in `why`, and stops
    nothing.
    """

    scene: Scene
    source: BackboneFeaturiser | None
    why: str = field(init=False, default="")

    @cached_property
    def whole(self) -> Forecast | None:
        """Of fine-tuning as it comes."""
        return self._timed(FineTune())

    @cached_property
    def part(self) -> Forecast | None:
        """Of its last third, as the tree sets it."""
        leaf = read_tree().find("partial")
        assert isinstance(leaf, Leaf)
        return self._timed(FineTune(**leaf.settings["finetune"]))

    @cached_property
    def scratch(self) -> Forecast | None:
        """Of the baseline from scratch: everything moves, which fine-tuning need not do."""
        return self._timed(FromScratch())

    def _timed(self, method: FineTune | FromScratch) -> Forecast | None:
        if self.source is None or not self.source.backbone.trainable or self.why:
            return None
        context = self.scene.context(self.source)
        if not len(context.training):
            return None
        try:
            return forecast(method, context)
        except HeadstartError as error:
            self.why = " ".join(str(error).split())
            return None


def facts_of(
    scene: Scene, source: BackboneFeaturiser | None, ahead: float | None, costs: Forecasts,
    more: Mapping[str, Fact],
) -> Facts:  # fmt: skip
    """Return what the tree asks for, of the model in `source`; what is not known is None.

    `more`: facts that come from elsewhere.
    """
    data, left = scene.data, len(scene.context(None).training)
    task, outputs = data.task, max(1, data.task.outputs)
    each = 1 if task.name == "regression" else outputs
    total = float(data.targets.sum()) if task.name == "multi-label" else float(len(data))
    facts: dict[str, Fact] = {
        "labels_each": total / each,
        "task": task.name,
        "modality": data.inputs.modality,
        "models": len(scene.backbones),
        "trainable": any(f.backbone.trainable for f in scene.backbones),
        "left": left,
        "left_each": total * left / (each * len(data)),
        "lead": ahead,
        **more,
    }
    if source is None:
        return Facts(facts)
    facts["rows_per_width"] = left / source.backbone.width
    return Facts(
        facts,
        {
            "distance": lambda: distance_of(scene, source),
            "label_words": lambda: words_of(data, source),
            "memory_share": lambda: memory_share(costs),
            "epochs": lambda: passes(scene, costs.whole),
            "epochs_part": lambda: passes(scene, costs.part),
        },
    )


def memory_share(costs: Forecasts) -> float | None:
    """Return the share of this machine's memory that training the whole model takes."""
    return None if costs.whole is None else costs.whole.memory / machine().memory


def passes(scene: Scene, cost: Forecast | None) -> float | None:
    """Return how often the budget lets training see all examples."""
    if cost is None:
        return None
    return TIME_SHARE * scene.training_seconds / max(1e-9, cost.epoch)


def distance_of(scene: Scene, source: BackboneFeaturiser) -> float | None:
    """Return the distance of the features from the model's source data; None where it has none."""
    reference = find_reference(source.backbone.fingerprint)
    if reference is None:
        return None
    rows = sample(scene.data.targets, DISTANCE, rng=rng_for(scene.seed, "distance"))
    part = scene.data.take(rows)
    features = source.features(part.inputs, progress=scene.progress)
    return float(reference.distance(np.asarray(features, np.float64)))


def words_of(data: Dataset, source: BackboneFeaturiser) -> float | None:
    """Return how like the label names are to the source's; None where one side has no names."""
    names = () if data.task.name == "regression" else data.task.labels
    theirs = source.backbone.card.labels
    if not named(names) or not named(theirs):
        return None
    return task_similarity(names, theirs, embedder())
