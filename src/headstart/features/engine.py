"""Ways to run a frozen backbone; a faster one is used only where it gives the same features.

An engine is a function Batch -> (n, d) float32 on the CPU. `choose` tries the engines of BUILTIN
from fastest to plainest on a handful of examples, and takes the first whose features agree with
fp32 (cosine >= AGREE for each of them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from headstart.compute.layout import laid_out, lay_out
from headstart.compute.machine import machine, torch_device
from headstart.sources.backbone import Backbone, Batch

if TYPE_CHECKING:
    import torch

AGREE = 0.995
Run = Callable[[Batch], np.ndarray]


class Engine(Protocol):
    """One way to run a backbone. `name` is part of the store's key."""

    @property
    def name(self) -> str: ...

    def build(self, backbone: Backbone) -> Run | None:
        """Return the function, or None where this machine or backbone has no use for it."""


@dataclass(frozen=True, slots=True)
class Eager:
    """Plain torch, in one precision."""

    name: str
    bf16: bool

    def build(self, backbone: Backbone) -> Run | None:
        import torch

        if self.bf16 and not machine().fast_bf16:
            return None
        device = torch_device()
        dtype = torch.bfloat16 if self.bf16 else torch.float32
        return _run_in(backbone, device, dtype)


def _run_in(backbone: Backbone, device: torch.device, dtype: torch.dtype) -> Run:
    import copy

    import torch

    own = copy.copy(backbone)  # the caller's module stays as it is, in fp32
    if dtype != torch.float32 or device.type != "cpu":
        object.__setattr__(own, "module", copy.deepcopy(backbone.module).to(device, dtype))
    module = own.module.eval()
    lay_out(module)

    def run(batch: Batch) -> np.ndarray:
        with torch.inference_mode():
            moved = {name: _moved(value, device, dtype) for name, value in batch.items()}
            out: np.ndarray = own.embed(moved).float().cpu().numpy()
        return out

    return run


def _moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if not value.is_floating_point():
        return value.to(device)
    return laid_out(value.to(device, dtype))


BUILTIN: tuple[Engine, ...] = (Eager("bf16", bf16=True), Eager("fp32", bf16=False))


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that will be used, and how well it agreed (lowest cosine with fp32)."""

    name: str
    run: Run
    agreement: float
    refused: dict[str, float]  # engines that were faster, but gave other features


def choose(backbone: Backbone, sample: Batch, engines: Sequence[Engine] = BUILTIN) -> Choice:
    """Return the first engine that agrees with fp32 on `sample`, a batch of a few examples."""
    plain = Eager("fp32", bf16=False).build(backbone)
    assert plain is not None
    expected = plain(sample)
    refused: dict[str, float] = {}
    for engine in engines:
        if engine.name == "fp32":
            break
        run = engine.build(backbone)
        if run is None:
            continue
        agreement = lowest_cosine(expected, run(sample))
        if agreement >= AGREE:
            return Choice(engine.name, run, agreement, refused)
        refused[engine.name] = agreement
    return Choice("fp32", plain, 1.0, refused)


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
