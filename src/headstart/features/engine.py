"""Ways to run a frozen backbone; another one is used only where it gives the same features.

An engine is a function Batch -> (n, d) float32 on the CPU, which several threads may call at once.
`choose` tries engines on a handful of examples: those whose features agree with fp32 (cosine >=
AGREE for each of them) are timed, and the fastest is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from headstart.features.crew import seconds_each
from headstart.features.eager import Eager
from headstart.features.fused import Fused
from headstart.features.int8 import Int8
from headstart.features.onnx import OnnxRuntime
from headstart.features.openvino import OpenVino
from headstart.sources.backbone import Backbone, Batch

AGREE = 0.995
SAVES = 0.3  # share of plain torch's time that another engine is expected to save
SAVES_MORE = 0.1  # share of the time of an engine that was faster already
TIMED = 8  # examples of a batch that is timed
LIMIT = 0.1  # seconds that timing an engine may take, a single round aside
Run = Callable[[Batch], np.ndarray]

__all__ = [
    "AGREE", "BUILTIN", "Choice", "Eager", "Engine", "Fused", "Int8", "OnnxRuntime", "OpenVino",
    "Run", "choose",
]  # fmt: skip


class Engine(Protocol):
    """One way to run a backbone. `name` is part of the store's key.

    An engine may have `costs`: about how many seconds preparing it takes. Of engines whose names
    begin alike ("openvino-bf16", "openvino-fp32"), the first that agrees is the only one.
    """

    @property
    def name(self) -> str: ...

    def build(self, backbone: Backbone) -> Run | None:
        """Return the function, or None where this machine or backbone has no use for it.

        What is costly is done at the function's first batch, which is the one that `choose` tries;
        an engine that cannot run the backbone raises there.
        """


BUILTIN: tuple[Engine, ...] = (
    OpenVino("openvino-bf16", bf16=True),
    OpenVino("openvino-fp32", bf16=False),
    Int8(),
    Fused("fused-bf16", bf16=True),
    Eager("bf16", bf16=True),
    Fused("fused-fp32", bf16=False),
    OnnxRuntime(),
    Eager("fp32", bf16=False),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that will be used, and how well it agreed (lowest cosine with fp32)."""

    name: str
    run: Run
    agreement: float
    refused: dict[str, float]  # engines that gave other features
    failed: dict[str, str] = field(default_factory=dict)  # engines that cannot run it, and why
    seconds: dict[str, float] = field(default_factory=dict)  # an example, of engines that agreed


def costs(engine: Engine) -> float:
    """Return the seconds that preparing this engine takes, about."""
    return float(getattr(engine, "costs", 0.0))


def pays(engine: Engine, count: int, seconds: float, share: float = SAVES) -> bool:
    """Whether trying an engine pays that may save a share of the `seconds` of `count` examples."""
    return count * seconds * share > costs(engine)


def choose(
    backbone: Backbone,
    sample: Batch,
    engines: Sequence[Engine] = BUILTIN,
    *,
    count: int | None = None,
    pool: ThreadPoolExecutor | None = None,
) -> Choice:
    """Return the fastest engine for `count` examples that agrees with fp32 on `sample`.

    `sample`: a batch of a few examples. Engines are tried from cheap to costly, as long as that
    pays. Without `count` nothing is timed, and the first of `engines` that agrees is taken.
    `pool`: the threads that will run batches side by side (crew.py); None: batches run in turn.
    """
    trial = _Trial(backbone, sample, pool)
    if count is None:
        for engine in engines:
            if trial.agrees(engine):
                return trial.choice(engine.name)
        return trial.choice("fp32")
    best = "fp32"
    others = sorted((engine for engine in engines if engine.name != "fp32"), key=costs)
    for engine in others:
        if "fp32" not in trial.seconds:
            trial.time("fp32")
        family = engine.name.partition("-")[0]
        known = any(name.startswith(f"{family}-") for name in trial.seconds)
        share = SAVES if best == "fp32" else SAVES_MORE
        worth = not known and pays(engine, count, trial.seconds[best], share)
        if not worth or not trial.agrees(engine):
            continue
        if trial.time(engine.name) < trial.seconds[best]:
            best = engine.name
    return trial.choice(best)


class _Trial:
    """What was found out about engines on one sample."""

    def __init__(self, backbone: Backbone, sample: Batch, pool: ThreadPoolExecutor | None) -> None:
        plain = Eager("fp32", bf16=False).build(backbone)
        assert plain is not None
        self.backbone, self.sample, self.pool = backbone, sample, pool
        self.expected = plain(sample)
        self.runs: dict[str, Run] = {"fp32": plain}
        self.agreement = {"fp32": 1.0}
        self.refused: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def agrees(self, engine: Engine) -> bool:
        """Build an engine and compare it with fp32; False where it cannot be used."""
        if engine.name in self.runs:
            return True
        try:
            run = engine.build(self.backbone)
            if run is None:
                return False
            agreement = lowest_cosine(self.expected, run(self.sample))
        except Exception as error:  # unusual models: torch and OpenVINO raise of every kind
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.failed[engine.name] = why
            return False
        if agreement < AGREE:
            self.refused[engine.name] = agreement
            return False
        self.runs[engine.name], self.agreement[engine.name] = run, agreement
        return True

    def time(self, name: str) -> float:
        """Return seconds an example with all workers at work."""
        batch = _repeated(self.sample, TIMED)
        rows = len(next(iter(batch.values())))
        work = partial(self.runs[name], batch)
        self.seconds[name] = seconds_each(self.pool, work, rows, LIMIT)
        return self.seconds[name]

    def choice(self, name: str) -> Choice:
        return Choice(
            name, self.runs[name], self.agreement[name], self.refused, self.failed, self.seconds
        )


def _repeated(sample: Batch, count: int) -> Batch:
    """Return a batch of `count` rows, taken from the sample in turn."""
    import torch

    if not all(isinstance(value, torch.Tensor) for value in sample.values()):
        return sample
    rows = torch.arange(count) % len(next(iter(sample.values())))
    return {name: value[rows] for name, value in sample.items()}


def lowest_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the lowest cosine between rows of two (n, d) arrays; -1 where values are not finite.

    >>> lowest_cosine(np.eye(2), np.eye(2))
    1.0
    """
    if not np.isfinite(other).all():
        return -1.0
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(axis=1) / np.maximum(norms, 1e-12)
    return float(cosines[norms > 1e-12].min(initial=1.0))
