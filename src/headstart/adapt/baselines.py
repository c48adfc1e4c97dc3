"""What transfer must beat: models that owe nothing to pretraining, on the same split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from headstart.adapt.adapted import Adapted
from headstart.adapt.featurisers import Nothing, SimpleFeaturiser
from headstart.adapt.finetune import norm_of, scaled_head
from headstart.adapt.gradient import Training, fit
from headstart.adapt.heads import Constant
from headstart.adapt.loop import Phase
from headstart.adapt.method import Context, Trained
from headstart.adapt.objective import task_loss
from headstart.adapt.probe import KernelProbe, Probe, packed, work_of
from headstart.adapt.targets import ScaledLinear
from headstart.adapt.unadapted import Unadapted
from headstart.compute.budget import Stopwatch
from headstart.compute.precision import precision_for
from headstart.compute.randomness import rng_for, seed_for
from headstart.compute.threads import threads, threads_for
from headstart.data.task import Task
from headstart.sources.backbone import Backbone


@dataclass(frozen=True, kw_only=True, slots=True)
class Majority:
    """The same answer for everybody: class frequencies, label frequencies, or the mean."""

    name = "majority"
    uses_model = False
    trains = False

    def adapt(self, context: Context) -> Trained:
        """Return the constant model; held out rows are answered from the others."""
        task, targets = context.data.task, context.data.targets
        name = "mean" if task.name == "regression" else self.name
        rows = np.arange(len(targets))
        answer = _constant(targets, task)
        outputs = np.tile(answer, (len(rows), 1))
        if context.folds is not None:
            for fold in range(context.folds.count):
                asked = context.folds.of == fold
                if asked.any():
                    outputs[asked] = _constant(targets[context.folds.inside(fold)], task)
            if context.folds.apart is not None:
                rows = rows[context.folds.of == context.folds.apart]
                outputs = outputs[rows]
        head = Constant(answer.astype(np.float32))
        modality = context.data.inputs.modality
        return Trained(
            adapted=Adapted(name, self.name, modality, task, Nothing(), head),
            rows=rows,
            outputs=outputs,
            seconds={"fit": 0.0},
            parameters={"total": task.outputs, "trained": task.outputs},
            details={},
        )


def _constant(targets: np.ndarray, task: Task) -> np.ndarray:
    """Return raw outputs (k,) that give the frequencies (one example added a class), or mean."""
    if task.name == "regression":
        return np.asarray([targets.mean()])
    if task.name == "classification":
        counts = np.bincount(targets, minlength=task.outputs) + 1.0
        return np.asarray(np.log(counts / counts.sum()))
    share = (targets.sum(axis=0) + 1.0) / (len(targets) + 2.0)
    return np.asarray(np.log(share / (1 - share)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Simple:
    """A linear and a kernel model on hand-made features; the better one out of fold."""

    name = "simple"
    uses_model = False
    trains = False

    def adapt(self, context: Context) -> Trained:
        """Return the simple model of the data's modality."""
        inputs, task = context.data.inputs, context.data.task
        watch = Stopwatch()
        with watch.time("extract"):
            rng = rng_for(context.seed, "simple features")
            featuriser = SimpleFeaturiser.fit(inputs, rng=rng)
            features = featuriser.features(inputs, progress=context.progress)
        with watch.time("fit"), threads(threads_for(work_of(features, context))):
            found = [Probe().fit(features, context.data.targets, task, context.folds)]
            if not sparse.issparse(features) and context.folds is not None:
                kernel = KernelProbe(seed=seed_for(context.seed, "landmarks"))
                found.append(kernel.fit(features, context.data.targets, task, context.folds))
            best = min(found, key=lambda fit: fit.details["out_of_fold_loss"])
        name = f"simple: {featuriser.fitted.name}"
        return packed(name, self.name, best, featuriser, context, watch.seconds)


SCRATCH_RATES = {"batch": 2e-3, "layer": 5e-4, "none": 1e-3}


@dataclass(frozen=True, kw_only=True, slots=True)
class FromScratch:
    """The same architecture with random weights, trained in the same loop for the same time."""

    epochs: int = 60
    batch: int = 32
    patience: int = 10
    weight_decay: float = 0.05
    name = "from scratch"
    uses_model = True
    trains = True

    def adapt(self, context: Context) -> Trained:
        """Return the model that pretraining has given nothing. Raises ValueError without one, and
        ModelError for a backbone that cannot be trained."""
        if context.source is None:
            raise ValueError("FromScratch needs a backbone in the context.")
        origin = context.source.backbone
        backbone = origin.reinitialised(seed_for(context.seed, "scratch"))
        training = Training(
            name=f"from scratch: {context.source.title}",
            method=self.name,
            backbone=backbone,
            head=self._head(backbone, context),
            plan=lambda steps: self.phases(backbone, context, steps),
            epochs=self.epochs,
            batch=self.examples(len(context.training)),
            patience=self.patience,
            precision=precision_for(backbone.module),
            settings=repr(self),
        )
        return fit(training, context)

    def examples(self, training: int) -> int:
        """Return how many examples a step has: four steps an epoch, where there are few."""
        return min(self.batch, max(2, training // 4))

    def phases(self, backbone: Backbone, context: Context, steps: int) -> tuple[Phase, ...]:
        """Return the schedule for so many steps: everything moves, at one rate."""
        rate = SCRATCH_RATES[norm_of(backbone.module)]
        phase = Phase(
            name="from scratch",
            steps=steps,
            rates={stage.name: rate for stage in backbone.stages} | {"head": rate},
            loss=task_loss(context.data.task, backbone),
            weight_decay=self.weight_decay,
            norm="trained",
        )
        return (phase,)

    def _head(self, backbone: Backbone, context: Context) -> ScaledLinear:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(context.seed, "scratch head"))
            width = torch.zeros(2, backbone.width)
            head = scaled_head(width, context.data.task.outputs)
        head.mean.zero_()
        head.scale.fill_(1.0)
        return head


BASELINES = (Majority(), Simple(), Unadapted(), FromScratch())


__all__ = ["BASELINES", "FromScratch", "Majority", "Simple"]
