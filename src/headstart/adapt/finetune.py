"""Fine-tuning: a fitted head first, then the last stages, then all of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.folds import plan
from headstart.adapt.gradient import ScaledLinear, Targets, Training, fit, task_loss
from headstart.adapt.heads import Linear
from headstart.adapt.loop import Phase
from headstart.adapt.method import Context, Trained
from headstart.adapt.probe import Probe
from headstart.compute.precision import FP32, Precision, precision_for
from headstart.compute.randomness import rng_for
from headstart.sources.backbone import Backbone, running


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTune:
    """Start from the probe's head, train the last stages, then all, at small learning rates.

    The head comes first because a random one would tear the features (Kumar et al., ICLR 2022).
    `rate`: peak learning rate of the last stage (AdamW); None takes RATES by the kind of norm.
    `decay`: each earlier stage learns at this share of the next one's rate. `last`: share of the
    blocks that moves in the first phase, for `first` of the steps. The embeddings of a text model
    stand still: most of their rows never occur in a small data set.
    """

    epochs: int = 8
    batch: int = 32
    rate: float | None = None
    head_rate: float = 1e-3
    decay: float = 0.85
    last: float = 0.34
    first: float = 0.3
    patience: int = 2
    weight_decay: float = 0.01
    name = "finetune"
    uses_model = True
    trains = True

    def adapt(self, context: Context) -> Trained:
        """Return the fine-tuned model. Raises ValueError without a backbone."""
        if context.source is None:
            raise ValueError("FineTune needs a backbone in the context.")
        origin = context.source.backbone
        backbone = running(origin, copy.deepcopy(origin.module).float())
        head = self._head(context, context.source)
        precision = precision_for(backbone.module)
        training = Training(
            name=f"finetune: {context.source.title}",
            method=self.name,
            backbone=backbone,
            head=head,
            phases=lambda steps: self.phases(backbone, context, steps, precision),
            epochs=self.epochs,
            batch=min(self.batch, max(2, len(context.training))),
            patience=self.patience,
            precision=precision,
        )
        return fit(training, context)

    def phases(
        self, backbone: Backbone, context: Context, steps: int, precision: Precision = FP32
    ) -> tuple[Phase, ...]:
        """Return the schedule for so many steps, stage by stage."""
        rate = self.rate or rate_for(backbone)
        names = [stage.name for stage in backbone.stages]
        rates = {name: rate * self.decay**back for back, name in enumerate(reversed(names))}
        if backbone.card.modality == "text":
            rates.pop("stem", None)
        blocks = [name for name in names if name.startswith("block.")]
        late = set(blocks[len(blocks) - max(1, round(self.last * len(blocks))) :]) | {"norm"}
        last = {name: value for name, value in rates.items() if name in late}
        early = max(1, round(self.first * steps))
        loss = task_loss(context.data.task, backbone, precision)
        first = Phase(
            name="last stages",
            steps=early,
            rates=last | {"head": self.head_rate},
            loss=loss,
            weight_decay=self.weight_decay,
        )
        rest = replace(
            first, name="all stages", steps=max(1, steps - early),
            rates=rates | {"head": self.head_rate},
        )  # fmt: skip
        return first, rest

    def _head(self, context: Context, source: BackboneFeaturiser) -> ScaledLinear:
        """Fit a probe on the training rows, and take over its function."""
        rows, task = context.training, context.data.task
        part = context.data.take(rows)
        features = source.features(part.inputs, progress=context.progress)
        folds = plan(part, None, rng=rng_for(context.seed, "head"))
        scaled = Targets.of(context.data.targets, task, rows).values.numpy()[rows]
        fitted = Probe(calibrate=False).fit(features, scaled, task, folds)
        head = scaled_head(features, task.outputs)
        assert isinstance(fitted.head, Linear)
        head.start_from(fitted.head)
        return head


def scaled_head(features: object, outputs: int) -> ScaledLinear:
    """Return a head for features (n, d) like these, in units of their overall deviation."""
    table = torch.from_numpy(np.asarray(features, np.float32).copy())  # maps of files are read-only
    spread = table.std(dim=0).square().mean().sqrt().clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]):  # its random start leaves the global generator alone
        return ScaledLinear(table.mean(dim=0), spread.expand(table.shape[1]).clone(), outputs)


RATES = {"batch": 5e-4, "layer": 1e-4, "none": 1e-4}


def rate_for(backbone: Backbone) -> float:
    """Return the usual peak rate by the kind of norm: batch norm bears larger steps."""
    return RATES[norm_of(backbone.module)]


def norm_of(module: nn.Module) -> str:
    """Return "batch", "layer" (RMS norms too) or "none"."""
    kinds = {type(part).__name__.lower() for part in module.modules()}
    if any("batchnorm" in kind for kind in kinds):
        return "batch"
    return "layer" if any("norm" in kind for kind in kinds) else "none"
