"""What this machine is, and what is applied because of it."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.compute.allocator import keep_memory

if TYPE_CHECKING:
    import torch


FAST = 1.3  # times the pace of fp32: below that bf16 is not worth its rounding
ROWS, INPUTS, OUTPUTS = 256, 384, 1536  # of the product that is measured: a small transformer's
TRIES = 5


@dataclass(frozen=True, slots=True)
class Machine:
    """Device and what it is good at. `cores` are those this process may use."""

    device: str  # "cpu", "cuda", "mps"
    cores: int
    bf16_gain: float  # pace of bf16 products where fp32 is 1, measured; 0: no hardware for it
    memory: int  # bytes of the machine
    name: str
    fast_int8: bool  # it has instructions for products of eight-bit numbers
    kept_memory: bool  # whether the allocator was told to keep memory

    @property
    def fast_bf16(self) -> bool:
        """Whether bf16 products are worth it here; the instruction alone does not say so."""
        return self.bf16_gain >= FAST

    def facts(self) -> dict[str, Any]:
        """What the record says of the machine."""
        return {
            "device": self.device,
            "name": self.name,
            "cores": self.cores,
            "memory_gib": round(self.memory / 2**30, 1),
            "fast_bf16": self.fast_bf16,
            "bf16_gain": round(self.bf16_gain, 2),
            "fast_int8": self.fast_int8,
            "allocator_keeps_memory": self.kept_memory,
            "python": platform.python_version(),
        }


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30  # no such question on this system: assume a small machine


def measured_bf16_gain() -> float:
    """Return how many times as fast as in fp32 a matrix product is in bf16 on this CPU.

    Best of a few of each, in turn: 20 ms altogether. The flag alone misleads: of two CPUs with
    avx512_bf16 and no AMX, one multiplied bf16 at 3.2 times the pace of fp32, one at 0.55.
    """
    import torch

    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(ROWS, INPUTS, generator=generator)
    weight = torch.rand(OUTPUTS, INPUTS, generator=generator)
    with torch.inference_mode():
        for _ in range(TRIES):
            for dtype in best:
                one, other = rows.to(dtype), weight.to(dtype)
                start = time.perf_counter()
                torch.nn.functional.linear(one, other)
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]


@cache
def machine() -> Machine:
    """Look at the machine once, and tell the allocator to keep its memory. Imports torch.

    On a GPU bf16 is taken for twice as fast where the hardware has it; elsewhere it is measured.
    """
    kept = keep_memory()
    import torch

    flags = _cpu_flags()
    int8 = bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8"})
    if torch.cuda.is_available():
        gain = 2.0 if torch.cuda.is_bf16_supported(including_emulation=False) else 0.0
        device, name = "cuda", torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        device, gain, name = "mps", 0.0, "Apple GPU"
    else:
        device, name = "cpu", platform.processor() or platform.machine()
        gain = measured_bf16_gain() if flags & {"avx512_bf16", "amx_bf16"} else 0.0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(device, cores or 1, gain, _memory(), name, int8, kept)


def torch_device() -> torch.device:
    """Return the device that models are put on, as Accelerate places it."""
    machine()
    from accelerate import PartialState

    device: torch.device = PartialState().device
    return device
