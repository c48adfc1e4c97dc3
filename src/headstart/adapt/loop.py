"""The only training loop. A method states phases; the loop yields steps.

Logging, early stopping and checkpoints belong to the caller, who reads the steps.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from headstart.adapt.parts import Parts
from headstart.adapt.rates import BETAS, Shape, momentum, share
from headstart.compute.layout import lay_out
from headstart.sources.backbone import Backbone, running

Loss = Callable[[nn.ModuleDict, Any, Tensor, float], Tensor]
Norm = Literal["frozen", "trained", "recalibrated"]
NORMS: tuple[str, ...] = get_args(Norm)
NO_DECAY = 1  # dimensions: biases and norms are vectors, and are not decayed
MOMENTUM = 0.1  # of batch norm: torch's own
FORGETS = 0.5  # momentum above this keeps nothing: TensorFlow's decay, taken for torch's momentum


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One stretch of training.

    `rates`: peak learning rate of every part that moves ("head", a stage's name, or the name of a
    technique's own parameters); all other parts stand still, batch norm included. `shape` says how
    the rate goes over the `steps`: up over the first `warm_up` share of them, then down. `loss`
    gets the model, a batch, its targets and the progress in [0, 1]. `accumulate`: batches whose
    gradients are averaged into one step. `norm`: batch norm of moving stages keeps its pretrained
    statistics ("frozen"), learns from each batch ("trained"), or keeps them while training and is
    measured anew before each validation ("recalibrated").
    """

    name: str
    steps: int
    rates: dict[str, float]
    loss: Loss
    weight_decay: float = 0.01
    shape: Shape = "cosine"
    warm_up: float = 0.1
    clip: float = 1.0  # largest norm of the gradient; 0 clips nothing
    accumulate: int = 1
    norm: Norm = "frozen"


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one step. `number` counts from 1 over all phases; `index` within its own."""

    number: int
    phase: str
    loss: float
    rate: float  # share of the phase's learning rates
    seconds: float
    index: int
    gradient: float  # norm before clipping
    optimiser: torch.optim.Optimizer


@dataclass(frozen=True, slots=True)
class Start:
    """Where a training that was interrupted goes on: after `index` steps of phase `phase`."""

    phase: int
    index: int
    number: int
    optimiser: dict[str, Tensor]  # by "parameter/name"; empty at the start of a phase


class Diverged(ArithmeticError):
    """The loss is NaN or infinite; the message says at which step."""


def model_of(backbone: Any, head: nn.Module) -> nn.ModuleDict:
    """Put a backbone's module and a head side by side."""
    return nn.ModuleDict({"backbone": backbone.module, "head": head})


def copied(origin: Backbone) -> Backbone:
    """Return a backbone whose module is a copy in float32, laid out for training."""
    backbone = running(origin, copy.deepcopy(origin.module).float())
    lay_out(backbone.module)
    return backbone


def train(
    model: nn.ModuleDict,
    parts: Parts,
    phases: tuple[Phase, ...],
    batches: Callable[[int, int], Iterator[tuple[Any, Tensor]]],
    *,
    seed: int,
    start: Start | None = None,
) -> Iterator[Step]:
    """Train `model` in place through all phases; yields after every step.

    `parts` says which parameters and modules a name in `Phase.rates` means. `batches` is asked
    once a phase, with the phase's number and how many batches of it were used already, and must
    not end. The model is in evaluation mode whenever a step is yielded. Dropout and everything
    else that draws in a forward pass draws from `seed` and the step's number. Raises Diverged.
    """
    number = start.number if start else 0
    for at, phase in enumerate(phases):
        if start and at < start.phase:
            continue
        groups = _groups(model, parts, phase)
        optimiser = torch.optim.AdamW(groups, lr=0.0, fused=True)
        begin = 0
        if start and at == start.phase:
            begin = start.index
            _restore(optimiser, start.optimiser)
        moving = [parameter for group in groups for parameter in group["params"]]
        model.eval()
        feed = batches(at, begin * phase.accumulate)
        for index in range(begin, phase.steps):
            clock = time.perf_counter()
            now = share(phase.shape, index, phase.steps, phase.warm_up)
            for group in optimiser.param_groups:
                group["lr"] = now * group["peak"]
                if phase.shape == "one-cycle":
                    group["betas"] = (momentum(index, phase.steps, phase.warm_up), BETAS[1])
            _train_mode(model, parts, phase)
            optimiser.zero_grad(set_to_none=True)
            loss = _gradients(model, phase, feed, index, seed, number)
            norm = nn.utils.clip_grad_norm_(moving, phase.clip or float("inf"))
            optimiser.step()
            model.eval()
            number += 1
            took = time.perf_counter() - clock
            yield Step(number, phase.name, loss, now, took, index, float(norm), optimiser)


def _restore(optimiser: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    """Load moments by "parameter/name", each in its parameter's own order in memory.

    The fused step walks weights and moments side by side: channels-last weights need theirs so.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        index, _, kind = name.partition("/")
        like = parameters[int(index)]
        if value.shape == like.shape:
            value = torch.empty_like(like, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[kind] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def _gradients(
    model: nn.ModuleDict, phase: Phase, feed: Iterator[tuple[Any, Tensor]], index: int, seed: int,
    number: int,
) -> float:  # fmt: skip
    """Add up the gradients of one step's batches; returns their mean loss."""
    total = 0.0
    for part in range(phase.accumulate):
        inputs, targets = next(feed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number * phase.accumulate + part)
            loss = phase.loss(model, inputs, targets, index / phase.steps)
        value = float(loss.detach())
        if not torch.isfinite(loss):
            raise Diverged(f"step {number + 1} of phase {phase.name!r}: loss {value}")
        (loss / phase.accumulate if phase.accumulate > 1 else loss).backward()
        total += value / phase.accumulate
    return total


def _groups(model: nn.ModuleDict, parts: Parts, phase: Phase) -> list[dict[str, Any]]:
    """Freeze what stands still; group what moves by learning rate and decay."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    groups = []
    names = dict(model.named_parameters())
    for part, rate in phase.rates.items():
        own = [names[name] for name in parts.parameters(part)]
        for decayed in (True, False):
            chosen = [p for p in own if (p.ndim > NO_DECAY) == decayed]
            for parameter in chosen:
                parameter.requires_grad_(True)
            if chosen:
                decay = phase.weight_decay if decayed and parts.decays(part) else 0.0
                groups.append({"params": chosen, "peak": rate, "weight_decay": decay})
    return groups


def _train_mode(model: nn.ModuleDict, parts: Parts, phase: Phase) -> None:
    """Dropout on in what moves; batch norm learns statistics only where the phase says so."""
    model.eval()
    modules = dict(model.named_modules())
    for part in phase.rates:
        for owner in (modules[name] for name in parts.modules(part)):
            owner.train()
            for module in batch_norms(owner):
                if phase.norm != "trained":
                    module.eval()
                elif module.momentum is not None and module.momentum > FORGETS:
                    module.momentum = MOMENTUM


def batch_norms(module: nn.Module) -> Iterator[Any]:
    """Yield the batch norms inside `module`, itself included."""
    for inner in module.modules():
        if isinstance(inner, nn.modules.batchnorm._BatchNorm):
            yield inner
