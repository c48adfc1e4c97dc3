"""Fine-tuning: a fitted head first, then the last stages, or all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.adapt.depth import (
    checked_schedule,
    moving_stages,
    rates_by_stage,
    stretches,
)
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.folds import plan
from headstart.adapt.gradient import Plan, RateTest, Training, fit
from headstart.adapt.heads import Linear
from headstart.adapt.loop import Norm, Phase, copied
from headstart.adapt.method import Context, Trained
from headstart.adapt.objective import task_loss
from headstart.adapt.parts import Part
from headstart.adapt.probe import Probe
from headstart.adapt.rates import Shape
from headstart.adapt.reshaping import Together
from headstart.adapt.settings import check_augment, check_settings, check_suits
from headstart.adapt.targets import ScaledLinear, Targets
from headstart.adapt.technique import Reshapes, Setting, Technique
from headstart.adapt.techniques import techniques
from headstart.adapt.techniques.dropout import without_dropout
from headstart.compute.precision import precision_for
from headstart.compute.randomness import rng_for
from headstart.errors import UsageError
from headstart.sources.backbone import Backbone, need_trainable


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTune:
    """Start from the probe's head, and train stages of the backbone at small learning rates.

    The head comes first because a random one would tear the features (Kumar et al., ICLR 2022).

    Rates (AdamW): `rate`, the peak of the last stage; "test" asks a learning-rate range test.
    `head_rate`; `decay`: each earlier stage learns at this share of the next one's rate. `shape`,
    `warm_up`: over the steps of a phase. `adapter_rate`: of what a technique adds, or trains in
    place of the stages.

    What moves: `depth` (see `moving_stages`), `unfreeze`, `last`, `first` (see `stretches`).
    The embeddings of a text model stand still: most of their rows never occur in a small data
    set. `norm`: see `Phase`. `schedule`: phases written out, as a run's recipe has them; it takes
    the place of all these.

    How: `epochs` at most, `batch` examples in `accumulate` parts a step, `patience` validations
    without improvement of `metric` ("error" or "loss"); it is longer than the usual schedules, as
    validation often gets worse before the rate falls, and the best is kept anyway. `weight_decay`
    (decoupled L2), `clip`. `keep_dropout`: whether the dropout of the pretraining stays; it is
    meant for many epochs, and costs an eighth of a step on a CPU. `techniques`: like
    "smoothing:0.1", see techniques/. `augment`: a chain of augmentations, see data/augment;
    `views`: augmented views an example has, 0 for new ones in every epoch.

    None for `epochs`, `rate`, `depth`, `unfreeze` and `decay` takes HABITS by the kind of norm:
    transformers (layer norm) are moved as a whole for two epochs, earlier layers at smaller rates
    (Howard and Ruder, ACL 2018). Of networks with batch norm the last half moves: what lies before
    it, edges and textures that serve any pictures (Yosinski et al., NeurIPS 2014), is run only
    once, so that an epoch costs a third.
    """

    epochs: int | None = None
    batch: int = 32
    accumulate: int = 1
    rate: float | str | None = None
    head_rate: float = 1e-3
    adapter_rate: float = 1e-3
    decay: float | None = None
    depth: str | float | None = None
    unfreeze: str | None = None
    last: float = 0.34
    first: float = 0.3
    shape: Shape = "cosine"
    warm_up: float = 0.1
    norm: Norm = "frozen"
    patience: int = 8
    metric: str = "error"
    weight_decay: float = 0.01
    clip: float = 1.0
    keep_dropout: bool = False
    techniques: tuple[str, ...] = ()
    augment: str = ""
    views: int = 4
    schedule: tuple[Mapping[str, Any], ...] = ()
    name = "finetune"
    uses_model = True
    trains = True

    def __post_init__(self) -> None:
        check_settings(self)

    def adapt(self, context: Context) -> Trained:
        """Return the fine-tuned model. Raises ValueError without a backbone, ModelError for one
        that cannot be trained."""
        if context.source is None:
            raise ValueError("FineTune needs a backbone in the context.")
        return fit(self.training(context, context.source), context)

    def check(self, context: Context) -> None:
        """Raise what `adapt` would for settings that this model or this modality cannot take."""
        assert context.source is not None
        backbone, chosen = context.source.backbone, techniques(self.techniques)
        need_trainable(backbone)
        if any(isinstance(technique, Reshapes) for technique in chosen):
            backbone = copied(backbone)
        backbone, made = self._reshaped(backbone, context, chosen)
        self._test(backbone, context, made)
        check_augment(self.augment, context.data.inputs.modality)

    def _reshaped(
        self, backbone: Backbone, context: Context, chosen: Sequence[Technique]
    ) -> tuple[Backbone, Together]:
        check_suits(chosen, backbone)
        made = Together.of(chosen, backbone.module, self._setting(context, backbone, chosen))
        backbone = made.fitting(backbone)
        phases = self.phases(backbone, context, 10, made.instead, made.parts)
        made.check(phases, backbone.module)
        return backbone, made

    def training(self, context: Context, source: BackboneFeaturiser) -> Training:
        """Return what is to be trained; the backbone's module is a copy."""
        origin, rows = source.backbone, context.training
        need_trainable(origin)
        backbone = copied(origin)
        if not self.keep_dropout:
            without_dropout(backbone.module)
        chosen = techniques(self.techniques)
        backbone, made = self._reshaped(backbone, context, chosen)
        plan = partial(self.phases, backbone, context, instead=made.instead, parts=made.parts)
        features = source.features(context.data.inputs, progress=context.progress)
        batch = min(self.batch, max(2, len(rows)))
        if batch < self.batch:
            context.say(f"Batches have {batch} examples: there are no more to train on.")
        return Training(
            name=self._title(source, chosen),
            method=self.name,
            backbone=backbone,
            head=self._head(context, features[rows]),
            plan=plan,
            test=self._test(backbone, context, made),
            epochs=self.epochs or habit_of(backbone).epochs,
            batch=-(-batch // self.accumulate),
            patience=self.patience,
            precision=precision_for(backbone.module),
            techniques=chosen,
            parts=made.parts,
            restored=made.restored,
            adapter=made.adapter,
            augment=self._augmentation(context),
            views=self.views,
            metric=self.metric,
            settings=repr(self),
            frozen=None if chosen else features,
            facts=made.facts,
        )

    def _depth(self, backbone: Backbone) -> str | float:
        """Return the depth; the usual one, unless the order of unfreezing asks for all."""
        if self.depth is not None:
            return self.depth
        return "all" if self.unfreeze else habit_of(backbone).depth

    def _setting(
        self, context: Context, backbone: Backbone, chosen: Sequence[Technique]
    ) -> Setting:
        task, rows = context.data.task, context.training
        targets = Targets.of(context.data.targets, task, rows).values[torch.from_numpy(rows)]
        # What is put into a model is small: it goes everywhere unless a depth is asked for.
        adapters = any(isinstance(technique, Reshapes) for technique in chosen)
        depth = self.depth or "all" if adapters else self._depth(backbone)
        moving = tuple(moving_stages(backbone, depth))
        return Setting(task, backbone, targets, context.seed, moving)

    def _title(self, source: BackboneFeaturiser, chosen: tuple[Technique, ...]) -> str:
        """Name the result: by what replaces fine-tuning, where something does."""
        reshaping = [t.name for t in chosen if isinstance(t, Reshapes)]
        return f"{' + '.join(['finetune', *reshaping])}: {source.title}"

    def phases(
        self, backbone: Backbone, context: Context, steps: int, instead: tuple[str, ...] = (),
        parts: Mapping[str, Part] = {},
    ) -> tuple[Phase, ...]:  # fmt: skip
        """Return the schedule for so many steps. `instead`: parts that move in place of stages."""
        base = Phase(
            name="", steps=1, rates={}, loss=task_loss(context.data.task, backbone),
            weight_decay=self.weight_decay, clip=self.clip, accumulate=self.accumulate,
            shape=self.shape, warm_up=self.warm_up, norm=self.norm,
        )  # fmt: skip
        if self.schedule:
            known = [*(stage.name for stage in backbone.stages), *parts, "head"]
            entries = checked_schedule(self.schedule, known)
            shares = [float(entry.pop("share")) for entry in entries]
            phases = [replace(base, **entry) for entry in entries]
            return _timed(phases, shares, steps)
        if instead:
            rates = dict.fromkeys(instead, self.adapter_rate) | {"head": self.head_rate}
            return (replace(base, name="adapters", steps=steps, rates=rates),)
        rate = rate_for(backbone) if self.rate in (None, "test") else float(self.rate or 0.0)
        rates = rates_by_stage(backbone, rate, self.decay or habit_of(backbone).decay)
        depth = self._depth(backbone)
        names = moving_stages(backbone, depth)
        if backbone.card.modality == "text" and depth == "all":
            names = [name for name in names if name != "stem"]
        unfreeze = self.unfreeze or habit_of(backbone).unfreeze
        found = stretches(unfreeze, names, self.last, self.first)
        phases = [
            replace(base, name=title, rates={n: rates[n] for n in own} | {"head": self.head_rate})
            for title, _, own in found
        ]
        return _timed(phases, [share for _, share, _ in found], steps)

    def _test(self, backbone: Backbone, context: Context, made: Together) -> RateTest | None:
        """Return how a range test shall find the rate; None where it is given."""
        if self.rate != "test" or self.schedule:
            return None
        if not made.instead and not moving_stages(backbone, self._depth(backbone)):
            raise UsageError('FineTune.rate="test" has nothing to test: the head alone moves.')

        def plan(rate: float) -> Plan:
            found = replace(self, adapter_rate=rate) if made.instead else replace(self, rate=rate)
            return partial(found.phases, backbone, context, instead=made.instead, parts=made.parts)

        return RateTest(plan, self.adapter_rate if made.instead else rate_for(backbone))

    def _augmentation(self, context: Context) -> Any:
        if not self.augment:
            return None
        from headstart.data.augment import parse
        from headstart.sources.writers import equipped

        chain = equipped(parse(self.augment, context.data.inputs.modality))
        return chain if len(chain) else None

    def _head(self, context: Context, features: np.ndarray) -> ScaledLinear:
        """Fit a probe on the features of the training rows, and take over its function."""
        rows, task = context.training, context.data.task
        part = context.data.take(rows)
        folds = plan(part, None, rng=rng_for(context.seed, "head"))
        scaled = Targets.of(context.data.targets, task, rows).values.numpy()[rows]
        fitted = Probe(calibrate=False).fit(features, scaled, task, folds)
        head = scaled_head(features, task.outputs)
        assert isinstance(fitted.head, Linear)
        head.start_from(fitted.head)
        return head


def _timed(phases: list[Phase], shares: list[float], steps: int) -> tuple[Phase, ...]:
    """Deal `steps` out by shares; every phase gets one at least."""
    ends = np.round(np.cumsum(shares) / sum(shares) * steps).astype(int)
    counts = np.maximum(1, np.diff(np.concatenate([[0], ends])))
    return tuple(
        replace(phase, steps=int(count)) for phase, count in zip(phases, counts, strict=True)
    )


def scaled_head(features: object, outputs: int) -> ScaledLinear:
    """Return a head for features (n, d) like these, in units of their overall deviation."""
    table = torch.from_numpy(np.asarray(features, np.float32).copy())  # maps of files are read-only
    spread = table.std(dim=0).square().mean().sqrt().clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]):  # its random start leaves the global generator alone
        return ScaledLinear(table.mean(dim=0), spread.expand(table.shape[1]).clone(), outputs)


@dataclass(frozen=True, slots=True)
class Habit:
    """How a kind of network is usually fine-tuned."""

    rate: float  # peak, of the last stage
    epochs: int
    unfreeze: str
    depth: str | float
    decay: float  # of the rate, a stage; 1 where the front stands still in any case


HABITS = {
    "batch": Habit(5e-4, 4, "together", 0.5, 1.0),
    "layer": Habit(2e-4, 2, "together", "all", 0.85),
    "none": Habit(1e-4, 4, "last-first", "all", 1.0),
}


def habit_of(backbone: Backbone) -> Habit:
    """Return the habit for the backbone's kind of norm: batch norm bears larger steps."""
    return HABITS[norm_of(backbone.module)]


def rate_for(backbone: Backbone) -> float:
    """Return the usual peak rate of the last stage."""
    return habit_of(backbone).rate


def norm_of(module: nn.Module) -> str:
    """Return "batch", "layer" (RMS norms too) or "none"."""
    kinds = {type(part).__name__.lower() for part in module.modules()}
    if any("batchnorm" in kind for kind in kinds):
        return "batch"
    return "layer" if any("norm" in kind for kind in kinds) else "none"
