"""How long a step takes, and how many threads it is worth."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from headstart.adapt.feed import Feed
from headstart.adapt.loop import Diverged, Phase, train
from headstart.adapt.objective import embedded
from headstart.adapt.parts import Parts
from headstart.compute.machine import machine, torch_device
from headstart.compute.precision import Precision
from headstart.compute.threads import threads
from headstart.errors import ModelError
from headstart.sources.backbone import Backbone, Batch, running

WORTH_SHARING = 2e9  # multiply-adds of a forward pass, above which all cores are worth it
STEPS = 3  # measured; the first one warms up


def pace(
    backbone: Backbone, parts: Parts, model: nn.ModuleDict, feed: Feed, rows: np.ndarray,
    rates: dict[str, float], batch: int, precision: Precision, count: int,
) -> float:  # fmt: skip
    """Return seconds a step with `rates` on a copy of the model that is thrown away.

    Raises ModelError for a model that gives no numbers before anything was trained.
    """
    twin = copy.deepcopy(model)
    other = running(backbone, twin["backbone"])
    pair = _typical(feed, rows, batch), torch.zeros(0)
    still = dict.fromkeys(rates, 0.0)  # costs the same, and cannot diverge
    phase = Phase(name="pace", steps=STEPS, rates=still, loss=stand_in(other, precision))
    with threads(count):
        steps = train(twin, parts, (phase,), lambda _at, _used: iter([pair] * STEPS), seed=0)
        try:
            return min([step.seconds for step in steps][1:])
        except Diverged:
            raise ModelError(
                f"{backbone.card.id} gives NaN or infinite values before it is trained; take "
                "another model, or leave out the techniques that change it."
            ) from None


def threads_of(backbone: Backbone, feed: Feed, rows: np.ndarray, batch: int) -> int:
    """Return one thread for a tiny model, else all cores: by counting, not by measuring.

    A measurement would choose differently from run to run, and sums depend on the threads.
    """
    from torch.utils.flop_counter import FlopCounterMode

    if machine().device != "cpu" or machine().cores == 1:
        return machine().cores
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        backbone.embed(_typical(feed, rows, batch))
    return machine().cores if counter.get_total_flops() / 2 >= WORTH_SHARING else 1


def _typical(feed: Feed, rows: np.ndarray, batch: int) -> Batch:
    """Return a batch of the usual size: of texts, the middle ones by length."""
    middle = np.argsort(feed.length_of(rows)) if feed.lengths is not None else np.arange(len(rows))
    at = max(0, len(rows) // 2 - batch // 2)
    found: Batch = send_to_device(feed.batch(rows[middle[at : at + batch]]), torch_device())
    return found


def stand_in(backbone: Backbone, precision: Precision) -> Callable[..., Tensor]:
    """Return a loss as dear as the real one, on another copy of the backbone."""

    def loss(model: nn.ModuleDict, inputs: Any, targets: Tensor, progress: float) -> Tensor:
        out: Tensor = model["head"](embedded(backbone, inputs, precision)).square().mean()
        return out

    return loss
