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
from headstart.adapt.depth import rates_by_stage
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.feed import Feed
from headstart.adapt.finetune import rate_for
from headstart.adapt.folds import folds_of
from headstart.adapt.loop import Diverged, Loss, Phase, copied, model_of, train
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
        rows = np.arange(len(data))
        plan = self._plan(context)
        share = context.seconds / (int(plan.max()) + 2)
        work = _Work(self, context, share)
        outputs = np.zeros((len(data), data.task.outputs))
        try:
            for fold in range(int(plan.max()) + 1):  # fold -1 is never asked
                inside, outside = rows[plan != fold], rows[plan == fold]
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
            details=tuned.facts | {"temperature": round(t, 4), "folds": int(plan.max()) + 1},
        )

    def _plan(self, context: Context) -> np.ndarray:
        """Return the fold (n,) of each example; -1 where the data's own validation part is asked.

        Raises TooFewExamples.
        """
        if context.folds is not None and context.folds.apart is not None:
            return np.where(context.folds.of == context.folds.apart, 0, -1)
        rng = rng_for(context.seed, "few-shot")
        found = folds_of(context.data, rng=rng, most=self.folds)
        if found is None:
            raise TooFewExamples("few-shot needs a class with 2 examples at least.")
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
        parts = []
        with torch.inference_mode():
            for at in range(0, len(rows), BATCH):
                batch = send_to_device(self.feed.batch(rows[at : at + BATCH]), torch_device())
                parts.append(embedded(self.backbone, batch, self.precision).cpu().numpy())
        return np.concatenate(parts)

    def head(self, targets: np.ndarray) -> Any:
        """Fit a logistic head as strong as scikit-learn's default (C = 1) on the tuned rows."""
        probe = Probe(calibrate=False)
        found = replace(probe, strengths=(1 / len(self.rows),), scalings=("global",)).fit(
            self.features(self.rows), targets[self.rows], self.task, None
        )
        return found.head


class _Work:
    """Tunes copies of one backbone on parts of one data set."""

    def __init__(self, method: FewShot, context: Context, seconds: float) -> None:
        assert context.source is not None
        self._method, self._context, self._seconds = method, context, seconds
        self._origin = context.source.backbone
        self.feed = Feed(self._origin, context.data.inputs, progress=context.progress)
        self._pace: float | None = None  # seconds a step, measured once

    def _affordable(
        self, model: nn.ModuleDict, rates: dict[str, float], rows: np.ndarray, size: int,
        count: int,
    ) -> int:  # fmt: skip
        """Return how many steps leave time to ask the tuned model about all of the data."""
        origin = self._origin
        if self._pace is None:
            self._pace = pace(
                origin, Parts.of(model, origin), model, self.feed, rows, rates, size,
                precision_for(origin.module), count,
            )  # fmt: skip
        asking = self._pace / FORWARD * len(self._context.data) / size
        return int((self._seconds - asking) / self._pace)

    def tuned(self, rows: np.ndarray, purpose: str) -> _Tuned:
        """Return the backbone tuned on `rows`."""
        method, context = self._method, self._context
        backbone = copied(self._origin)
        precision = precision_for(backbone.module)
        model = model_of(backbone, nn.Identity()).to(torch_device())
        size = min(method.batch, len(rows))
        wanted = -(-method.passes * len(rows) // size)
        rate = method.rate or rate_for(backbone) / 2
        rates = rates_by_stage(backbone, rate, method.decay)
        if backbone.card.modality == "text":
            rates.pop("stem", None)
        count = threads_of(backbone, self.feed, rows, size)
        steps = max(1, min(wanted, self._affordable(model, rates, rows, size, count)))
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
            "steps": len(losses), "steps_planned": wanted, "rate": rate, "threads": count,
            "precision": str(precision), "loss": [round(value, 5) for value in losses],
        }  # fmt: skip
        return _Tuned(backbone, rows, self.feed, precision, context.data.task, facts)

    def _batches(self, rows: np.ndarray, size: int, purpose: str) -> Iterator[tuple[Any, Tensor]]:
        rng = rng_for(self._context.seed, purpose)
        targets = self._context.data.targets
        for chosen in even_batches(rows, targets, size, rng):
            pair = self.feed.batch(chosen), torch.from_numpy(targets[chosen])
            yield send_to_device(pair, torch_device())


def even_batches(
    rows: np.ndarray, targets: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield endless batches of `size` rows in which classes are as even as they can be.

    Each class is dealt in an order of its own, again and again; a class with one example cannot
    be near itself, but serves as something to be far from.
    """
    classes = [rows[targets[rows] == label] for label in np.unique(targets[rows])]
    decks: list[list[int]] = [[] for _ in classes]
    while True:
        batch: list[int] = []
        while len(batch) < size:
            for at in rng.permutation(len(classes)):
                if len(batch) == size:
                    break
                if not decks[at]:
                    decks[at] = [int(row) for row in rng.permutation(classes[at])]
                batch.append(decks[at].pop())
        yield np.sort(np.unique(batch))


def pair_loss(backbone: Backbone, precision: Precision) -> Loss:
    """Return the mean squared error of cosines: 1 wanted within a class, 0 between classes.

    Pairs within and between classes weigh the same in total, as in SetFit's sampling.
    """

    def loss(model: nn.ModuleDict, inputs: Any, targets: Tensor, progress: float) -> Tensor:
        return pairs(embedded(backbone, inputs, precision), targets)

    return loss


def pairs(features: Tensor, targets: Tensor) -> Tensor:
    """Return the balanced mean of (cosine - same class) ** 2 over all pairs of rows."""
    unit = nn.functional.normalize(features, dim=1)
    cosines = unit @ unit.T
    same = targets[:, None] == targets[None, :]
    upper = torch.ones_like(same).triu(diagonal=1)
    errors = (cosines - same.to(cosines.dtype)).square()
    kinds = [errors[upper & same], errors[upper & ~same]]
    means = [kind.mean() for kind in kinds if kind.numel()]
    return torch.stack(means).mean() if means else features.sum() * 0.0
