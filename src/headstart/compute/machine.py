"""What this machine is, and what is applied because of it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.compute.allocator import keep_memory

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Machine:
    """Device and what it is good at. `cores` are those this process may use."""

    device: str  # "cpu", "cuda", "mps"
    cores: int
    fast_bf16: bool  # the hardware multiplies bf16, rather than emulating it
    memory: int  # bytes of the machine
    name: str
    kept_memory: bool  # whether the allocator was told to keep memory

    def facts(self) -> dict[str, Any]:
        """What the record says of the machine."""
        return {
            "device": self.device,
            "name": self.name,
            "cores": self.cores,
            "memory_gib": round(self.memory / 2**30, 1),
            "fast_bf16": self.fast_bf16,
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


@cache
def machine() -> Machine:
    """Look at the machine once, and tell the allocator to keep its memory. Imports torch."""
    kept = keep_memory()
    import torch

    if torch.cuda.is_available():
        device, fast, name = "cuda", torch.cuda.is_bf16_supported(), torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        device, fast, name = "mps", False, "Apple GPU"
    else:
        flags = _cpu_flags()
        device, name = "cpu", platform.processor() or platform.machine()
        fast = "avx512_bf16" in flags or "amx_bf16" in flags
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(device, cores or 1, fast, _memory(), name, kept)


def torch_device() -> torch.device:
    """Return the device that models are put on, as Accelerate places it."""
    machine()
    from accelerate import PartialState

    device: torch.device = PartialState().device
    return device
