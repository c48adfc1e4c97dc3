"""Few labels: tune the backbone until examples of a class lie together, then fit a head.

The idea of SetFit (Tunstall et al., 2022), on the one loop: not sampled pairs but all pairs of a
batch, in which classes are evenly drawn, are compared at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.adapted import Adapted
from headstart.adapt.contrast import even_batches, pair_loss
from headstart.adapt.depth import rates_by_stage
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.feed import Feed
from headstart.adapt.finetune import rate_for
from headstart.adapt.folds import folds_of, of_classes
from headstart.adapt.loop import Diverged, Phase, copied, model_of, train
from headstart.adapt.method import Context, Trained
from headstart.adapt.objective import embedded
from headstart.adapt.pace import pace, threads_of
from headstart.adapt.parts import Parts
from headstart.adapt.probe import Probe, temperature
from headstart.adapt.watch import BATCH
from headstart.compute.machine import torch_device
from headstart.compute.precision import Precision, precision_for, suited_attention
from headstart.compute.randomness import rng_for, seed_for
from headstart.compute.threads import threads
from headstart.data.dataset import Dataset
from headstart.errors import TooFewExamples, UsageError
from headstart.sources.backbone import Backbone, need_trainable, running, with_module

FORWARD = 3  # times as long as asking, a step takes: forward, and backward twice that
ASKING = 0.5  # of the time, at most, goes into asking tuned models about examples
LEAST_ASKED = 64  # examples, and 4 a class: less data makes no model
LEFT_OUT = -2  # fold of an example that there is no time for
MANY = 64  # labels a class, as in the tree of advice: beyond, fine-tuning can use them


@dataclass(frozen=True, kw_only=True, slots=True)
class FewShot:
    """Contrastive tuning of the whole backbone, then a regularised head; for classification.

    `passes`: how often each example is drawn; with `batch` examples at once, each meets all the
    others of the batch every time. `rate`: peak learning rate (AdamW); None takes half of
    fine-tuning's. `folds`: how often the whole procedure is done on a part, so that the rest can
    say how good it is; with few labels there is nothing to spare for validation.
    """

    passes: int = 20
    batch: int = 32
    rate: float | None = None
    decay: float = 0.85
    weight_decay: float = 0.01
    folds: int = 3
    name = "few-shot"
    uses_model = True
    trains = True
    holds_out = True  # by folds of its own: it needs no validation rows

    def __post_init__(self) -> None:
        for name in ("passes", "batch", "decay"):
            if not getattr(self, name) > 0:
                raise UsageError(f"FewShot.{name} must be > 0, got {getattr(self, name)!r}.")
        if self.folds < 2:
            raise UsageError(f"FewShot.folds must be >= 2, got {self.folds}.")

    def unsuited(self, data: Dataset, training: np.ndarray) -> str | None:
        """Return why there is something simpler, or nothing to gain."""
        if data.task.name != "classification":
            return f"it is for classification, the task is {data.task.name}"
        if data.inputs.modality != "text":
            return f"it is known to help texts; these are {data.inputs.modality} examples"
        each = len(data) / max(1, data.task.outputs)
        if each > MANY:
            return f"{each:.0f} labels a class are more than {MANY}: fine-tuning can use them"
        if np.bincount(data.targets, minlength=data.task.outputs).min() < 2:
            return "a class has a single example, which has no pair"
        if data.groups is not None and of_classes(data, folds_of(data, rng=rng_for(0, ""))) is None:
            return "whichever group is held out, the rest has no two classes"
        return None

    def check(self, context: Context) -> None:
        """Raise UsageError for other tasks than classification, ModelError as `need_trainable`."""
        assert context.source is not None
        if context.data.task.name != "classification":
            raise UsageError(
                "The method few-shot is for classification, the task is "
                f"{context.data.task.name}; use --method probe or finetune."
            )
        need_trainable(context.source.backbone)

    def adapt(self, context: Context) -> Trained:
        """Return the tuned model. Raises UsageError for other tasks than classification."""
        if context.source is None:
            raise ValueError("FewShot needs a backbone in the context.")
        self.check(context)
        data = context.data
        start = time.perf_counter()
        plan = self._plan(context)
        work = _Work(self, context, int(plan.max()) + 2)
        outputs = np.zeros((len(data), data.task.outputs))
        try:
            rows = work.askable(plan)
            plan = np.where(np.isin(np.arange(len(data)), rows), plan, LEFT_OUT)
            for fold in range(int(plan.max()) + 1):  # fold -1 is never asked
                inside, outside = rows[plan[rows] != fold], rows[plan[rows] == fold]
                tuned = work.tuned(inside, f"fold {fold}")
                outputs[outside] = tuned.head(data.targets).outputs(tuned.features(outside))
            tuned = work.tuned(rows, "all")
            head = tuned.head(data.targets)
        finally:
            work.feed.close()
        held = np.flatnonzero(plan >= 0)
        t = temperature(outputs[held], data.targets[held], data.task)
        backbone = running(tuned.backbone, tuned.backbone.module.to("cpu"))
        featuriser = BackboneFeaturiser(with_module(backbone, backbone.module), unchanged=False)
        size = sum(p.numel() for p in backbone.module.parameters())
        trained = sum(p.numel() for p in backbone.module.parameters() if p.requires_grad)
        adapted = Adapted(
            f"few-shot: {context.source.title}", self.name, data.inputs.modality, data.task,
            featuriser, head.sharpened(1 / t),
        )  # fmt: skip
        return Trained(
            adapted=adapted,
            rows=held,
            outputs=outputs[held] / t,
            seconds={"fit": time.perf_counter() - start},
            parameters={"total": size, "trained": trained},
            details=tuned.facts
            | {"temperature": round(t, 4), "folds": int(plan.max()) + 1, "examples": len(rows)},
        )

    def _plan(self, context: Context) -> np.ndarray:
        """Return the fold (n,) of each example, -1 for those that are only learned from.

        Raises TooFewExamples.
        """
        if context.folds is not None and context.folds.apart is not None:
            return np.where(context.folds.of == context.folds.apart, 0, -1)
        rng = rng_for(context.seed, "few-shot")
        found = of_classes(context.data, folds_of(context.data, rng=rng, most=self.folds))
        if found is None:
            raise TooFewExamples(
                "few-shot holds a part of the examples out and learns from the rest, which needs "
                "two classes"
                + (" and other groups" if context.data.groups is not None else "")
                + ". Add examples, or use --method probe."
            )
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Tuned:
    backbone: Backbone
    rows: np.ndarray
    feed: Feed
    precision: Precision
    task: Any
    facts: dict[str, Any]

    def features(self, rows: np.ndarray) -> np.ndarray:
        order = np.arange(len(rows))
        if self.feed.lengths is not None:  # long texts together: short ones need no padding
            order = np.argsort(self.feed.length_of(rows), kind="stable")
        parts = []
        with torch.inference_mode():
            for at in range(0, len(rows), BATCH):
                some = rows[order[at : at + BATCH]]
                batch = send_to_device(self.feed.batch(some), torch_device())
                parts.append(embedded(self.backbone, batch, self.precision).cpu().numpy())
        found: np.ndarray = np.concatenate(parts)[np.argsort(order, kind="stable")]
        return found

    def head(self, targets: np.ndarray) -> Any:
        """Fit a logistic head as strong as scikit-learn's default (C = 1) on the tuned rows."""
        probe = Probe(calibrate=False)
        found = replace(probe, strengths=(1 / len(self.rows),), scalings=("global",)).fit(
            self.features(self.rows), targets[self.rows], self.task, None
        )
        return found.head


class _Work:
    """Tunes copies of one backbone on parts of one data set."""

    def __init__(self, method: FewShot, context: Context, count: int) -> None:
        """`count`: how many trainings share the seconds of the context."""
        assert context.source is not None
        self._method, self._context, self._seconds = method, context, context.seconds / count
        self._origin = context.source.backbone
        self.feed = Feed(self._origin, context.data.inputs, progress=context.progress)
        self._asked = len(context.data)
        self._pace = 0.0  # seconds a step, once `askable` has measured it

    def askable(self, plan: np.ndarray) -> np.ndarray:
        """Return the sorted rows that there is time to ask every tuned model about: most often all.

        Of `plan`, the fold (n,) of each, as many of every fold and class as their share. Training
        has a bound of its own; asking, which fits the head and judges it, has this one.
        """
        targets, rows = self._context.data.targets, np.arange(len(plan))
        size = min(self._method.batch, len(rows))
        backbone, model, rates = self._copy()
        self._pace = pace(
            self._origin, Parts.of(model, self._origin), model, self.feed, rows, rates, size,
            precision_for(self._origin.module), threads_of(backbone, self.feed, rows, size),
        )  # fmt: skip
        each = self._pace / FORWARD / size
        most = max(LEAST_ASKED, 4 * len(np.unique(targets)), int(ASKING * self._seconds / each))
        if most >= len(rows):
            return rows
        rng = rng_for(self._context.seed, "few-shot/asked")
        groups = [rows[(targets == label) & (plan == fold)] for label in np.unique(targets)
                  for fold in np.unique(plan)]  # fmt: skip
        kept = np.concatenate(
            [rng.permutation(one)[: max(1, round(most * len(one) / len(rows)))] for one in groups]
        )
        self._asked = len(kept)
        self._context.say(
            f"Few-shot tuning takes {len(kept)} of {len(rows)} examples, as many as the time "
            "allows; a longer --budget takes more."
        )
        return np.sort(kept)

    def _copy(self) -> tuple[Backbone, nn.ModuleDict, dict[str, float]]:
        """Return a backbone to be tuned, the model around it, and a rate for every part."""
        backbone = copied(self._origin)
        model = model_of(backbone, nn.Identity()).to(torch_device())
        rates = rates_by_stage(backbone, self.rate, self._method.decay)
        if backbone.card.modality == "text":
            rates.pop("stem", None)
        return backbone, model, rates

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        return self._method.rate or rate_for(self._origin) / 2

    def _affordable(self, size: int) -> int:
        """Return how many steps leave time to ask the tuned model about what is asked."""
        return int((self._seconds - self._pace / FORWARD * self._asked / size) / self._pace)

    def tuned(self, rows: np.ndarray, purpose: str) -> _Tuned:
        """Return the backbone tuned on `rows`."""
        method, context = self._method, self._context
        backbone, model, rates = self._copy()
        precision = precision_for(backbone.module)
        size = min(method.batch, len(rows))
        wanted = -(-method.passes * len(rows) // size)
        count = threads_of(backbone, self.feed, rows, size)
        steps = max(1, min(wanted, self._affordable(size)))
        phase = Phase(
            name="contrastive", steps=steps, rates=rates, loss=pair_loss(backbone, precision),
            weight_decay=method.weight_decay,
        )  # fmt: skip
        batches = self._batches(rows, size, f"few-shot/{purpose}")
        losses: list[float] = []
        begun = time.perf_counter()
        seed = seed_for(context.seed, f"few-shot dropout/{purpose}")
        with (
            threads(count),
            suited_attention(backbone.module, precision),
            context.progress(f"few-shot: {purpose}", steps) as advance,
        ):
            parts = Parts.of(model, backbone)
            try:
                for step in train(model, parts, (phase,), lambda _at, _used: batches, seed=seed):
                    losses.append(step.loss)
                    advance(1)
                    if time.perf_counter() - begun > self._seconds:
                        break
            except Diverged as error:
                raise UsageError(
                    f"few-shot diverged at {error}: NaN or infinite. Set a lower rate, or check "
                    "the model's weights."
                ) from None
        facts = {
            "ended": "all steps" if len(losses) == wanted else "time",
            "schedule": [{"name": phase.name, "share": 1.0, "rates": dict(rates)}],
            "steps": len(losses), "steps_planned": wanted, "rate": self.rate, "threads": count,
            "precision": str(precision), "loss": [round(value, 5) for value in losses],
        }  # fmt: skip
        return _Tuned(backbone, rows, self.feed, precision, context.data.task, facts)

    def _batches(self, rows: np.ndarray, size: int, purpose: str) -> Iterator[tuple[Any, Tensor]]:
        rng = rng_for(self._context.seed, purpose)
        targets = self._context.data.targets
        for chosen in even_batches(rows, targets, size, rng):
            pair = self.feed.batch(chosen), torch.from_numpy(targets[chosen])
            yield send_to_device(pair, torch_device())
