"""How many threads a piece of work is worth: on small ones, waiting costs more than it gains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from headstart.compute.machine import machine

SMALL = 2e8  # multiplications in one product, below which one thread is faster (measured, 2 cores)


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch and numpy on `count` threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with _controller().limit(limits=count):
            yield
    finally:
        torch.set_num_threads(before)


def threads_for(multiplications: float) -> int:
    """Return one thread for a small product, else as many as there are cores."""
    return 1 if multiplications < SMALL else machine().cores
