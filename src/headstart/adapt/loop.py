"""The only training loop. A method states phases; the loop yields steps.

Logging, early stopping and checkpoints belong to the caller, who reads the steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.sources.backbone import Backbone, Stage

Loss = Callable[[nn.ModuleDict, Any, Tensor, float], Tensor]
NO_DECAY = 1  # dimensions: biases and norms are vectors, and are not decayed


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One stretch of training.

    `rates`: learning rate of every part that moves ("head", or a stage's name); all other parts
    stand still, batch norm included. The rate climbs over the first `warm_up` share of the steps
    and falls along a cosine to zero. `loss` gets the model, a batch, its targets and the progress
    in [0, 1].
    """

    name: str
    steps: int
    rates: dict[str, float]
    loss: Loss
    weight_decay: float = 0.01
    warm_up: float = 0.1
    clip: float = 1.0  # largest norm of the gradient
    train_norm: bool = False  # whether batch norm of moving stages learns new statistics


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one step. `number` counts from 1 over all phases."""

    number: int
    phase: str
    loss: float
    rate: float  # share of the phase's learning rates
    seconds: float


class Diverged(ArithmeticError):
    """The loss is NaN or infinite; the message says at which step."""


def model_of(backbone: Backbone, head: nn.Module) -> nn.ModuleDict:
    """Put a backbone's module and a head side by side."""
    return nn.ModuleDict({"backbone": backbone.module, "head": head})


def train(
    model: nn.ModuleDict,
    backbone: Backbone,
    phases: tuple[Phase, ...],
    batches: Callable[[Phase], Iterator[tuple[Any, Tensor]]],
    *,
    seed: int,
) -> Iterator[Step]:
    """Train `model` in place through all phases; yields after every step.

    `backbone` names the stages; its module is model["backbone"]. `batches` is asked once a phase
    and must not end. The model is in evaluation mode whenever a step is yielded. Dropout draws
    from `seed`. Raises Diverged.
    """
    number = 0
    for phase in phases:
        groups = _groups(model, backbone, phase)
        optimiser = torch.optim.AdamW(groups, lr=0.0, fused=True)
        moving = [parameter for group in groups for parameter in group["params"]]
        model.eval()
        feed = batches(phase)
        for index in range(phase.steps):
            start = time.perf_counter()
            inputs, targets = next(feed)
            share = schedule(index, phase.steps, phase.warm_up)
            for group in optimiser.param_groups:
                group["lr"] = share * group["peak"]
            _train_mode(model, backbone, phase)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + number)
                loss = phase.loss(model, inputs, targets, index / phase.steps)
            if not torch.isfinite(loss):
                raise Diverged(f"step {number + 1} of phase {phase.name!r}: loss {loss.item()}")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(moving, phase.clip)
            optimiser.step()
            model.eval()
            number += 1
            yield Step(number, phase.name, float(loss.detach()), share, time.perf_counter() - start)


def schedule(index: int, steps: int, warm_up: float) -> float:
    """Share in (0, 1] of the peak learning rate at step `index` of `steps`.

    >>> [round(schedule(i, 10, 0.2), 2) for i in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.04]
    """
    rising = max(1, round(warm_up * steps))
    if index < rising:
        return (index + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (index - rising) / max(1, steps - rising)))


def _groups(model: nn.ModuleDict, backbone: Backbone, phase: Phase) -> list[dict[str, Any]]:
    """Freeze what stands still; group what moves by learning rate and decay."""
    names = dict(backbone.module.named_parameters())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    groups = []
    for part, rate in phase.rates.items():
        own = (
            list(model["head"].parameters())
            if part == "head"
            else [names[name] for name in _stage(backbone, part).parameters]
        )
        for decayed in (True, False):
            chosen = [p for p in own if (p.ndim > NO_DECAY) == decayed]
            for parameter in chosen:
                parameter.requires_grad_(True)
            if chosen:
                decay = phase.weight_decay if decayed else 0.0
                groups.append({"params": chosen, "peak": rate, "weight_decay": decay})
    return groups


def _stage(backbone: Backbone, name: str) -> Stage:
    for stage in backbone.stages:
        if stage.name == name:
            return stage
    raise KeyError(f"no stage {name!r}; there are {[stage.name for stage in backbone.stages]}")


def _train_mode(model: nn.ModuleDict, backbone: Backbone, phase: Phase) -> None:
    """Dropout on in what moves; batch norm learns statistics only where the phase says so."""
    model.eval()
    modules = dict(backbone.module.named_modules())
    for part in phase.rates:
        owners = [model["head"]] if part == "head" else [
            modules[name] for name in _stage(backbone, part).modules
        ]  # fmt: skip
        for owner in owners:
            owner.train()
            if phase.train_norm:
                continue
            for module in owner.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()


def endless(
    epoch: Callable[[np.random.Generator], Iterator[tuple[Any, Tensor]]],
    rng: np.random.Generator,
) -> Iterator[tuple[Any, Tensor]]:
    """Epoch after epoch, each in an order of its own."""
    while True:
        yield from epoch(rng)
