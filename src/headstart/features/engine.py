"""Ways to run a frozen backbone; a faster one is used only where it gives the same features.

An engine is a function Batch -> (n, d) float32 on the CPU. `choose` tries the engines of BUILTIN
from fastest to plainest on a handful of examples, and takes the first whose features agree with
fp32 (cosine >= AGREE for each of them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from headstart.features.eager import Eager
from headstart.features.onnx import OnnxRuntime
from headstart.features.openvino import OpenVino
from headstart.sources.backbone import Backbone, Batch

AGREE = 0.995
Run = Callable[[Batch], np.ndarray]

__all__ = [
    "AGREE",
    "BUILTIN",
    "Choice",
    "Eager",
    "Engine",
    "OnnxRuntime",
    "OpenVino",
    "Run",
    "choose",
]


class Engine(Protocol):
    """One way to run a backbone. `name` is part of the store's key.

    An engine may have `pays_from`: the number of examples from which preparing it pays.
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
    Eager("bf16", bf16=True),
    OnnxRuntime(),
    Eager("fp32", bf16=False),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that will be used, and how well it agreed (lowest cosine with fp32)."""

    name: str
    run: Run
    agreement: float
    refused: dict[str, float]  # engines that were faster, but gave other features
    failed: dict[str, str] = field(default_factory=dict)  # engines that cannot run it, and why


def pays(engine: Engine, count: int) -> bool:
    """Whether preparing this engine pays for `count` examples."""
    return count >= int(getattr(engine, "pays_from", 0))


def choose(backbone: Backbone, sample: Batch, engines: Sequence[Engine] = BUILTIN) -> Choice:
    """Return the first engine that agrees with fp32 on `sample`, a batch of a few examples."""
    plain = Eager("fp32", bf16=False).build(backbone)
    assert plain is not None
    expected = plain(sample)
    refused: dict[str, float] = {}
    failed: dict[str, str] = {}
    for engine in engines:
        if engine.name == "fp32":
            break
        try:
            run = engine.build(backbone)
            if run is None:
                continue
            agreement = lowest_cosine(expected, run(sample))
        except Exception as error:  # unusual models: torch and OpenVINO raise of every kind
            failed[engine.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        if agreement >= AGREE:
            return Choice(engine.name, run, agreement, refused, failed)
        refused[engine.name] = agreement
    return Choice("fp32", plain, 1.0, refused, failed)


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
