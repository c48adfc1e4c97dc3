"""Batch norm statistics measured anew over the training examples, with the weights as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import nn

from headstart.adapt.boundary import Source
from headstart.adapt.loop import Phase, batch_norms
from headstart.adapt.objective import embedded
from headstart.adapt.parts import Parts
from headstart.compute.machine import torch_device
from headstart.compute.precision import Precision
from headstart.sources.backbone import Backbone

EXAMPLES = 1024  # that statistics are measured on, at most


def recalibrate(
    model: nn.ModuleDict, parts: Parts, phase: Phase, source: Source, rows: np.ndarray, batch: int,
    backbone: Backbone, precision: Precision,
) -> None:  # fmt: skip
    """Set the statistics of batch norms that the phase moves to their mean over batches of `rows`.

    Source: precise batch norm, Wu and Johnson, 2021.
    """
    modules = dict(model.named_modules())
    owners = [modules[name] for part in phase.rates for name in parts.modules(part)]
    norms: list[Any] = [norm for owner in owners for norm in batch_norms(owner)]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    try:
        with torch.no_grad():
            chosen = rows[:: max(1, len(rows) // EXAMPLES)]
            for at in range(0, len(chosen) - len(chosen) % batch or len(chosen), batch):
                inputs = send_to_device(source.batch(chosen[at : at + batch]), torch_device())
                embedded(backbone, inputs, precision)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()
