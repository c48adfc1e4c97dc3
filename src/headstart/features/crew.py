"""Workers that share out batches: each takes one from files to features, on one core.

On a CPU, threads that share one product wait for each other at the end of each layer; on the small
layers of usual networks, and beside other work, that waiting is most of the time. Workers that
each run batches of their own never wait, and one decodes while another multiplies.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import TypeVar

from headstart.compute.machine import machine
from headstart.compute.threads import threads

One = TypeVar("One")
Other = TypeVar("Other")


@contextmanager
def crew() -> Iterator[ThreadPoolExecutor]:
    """Give a pool of as many threads as cores; on a CPU torch runs on one thread in each."""
    alone = machine().device == "cpu"
    with (
        threads(1) if alone else nullcontext(),
        ThreadPoolExecutor(
            max(1, machine().cores), "headstart-extract", initializer=_alone if alone else None
        ) as pool,
    ):
        yield pool


def _alone() -> None:
    """OpenMP keeps its number of threads for each thread that asks."""
    import torch

    torch.set_num_threads(1)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[One], Other], items: Iterable[One], ahead: int = 1
) -> Iterator[tuple[One, Other]]:
    """Yield (item, work(item)) in the items' order; `ahead` a worker wait for being yielded."""
    waiting: deque[tuple[One, Future[Other]]] = deque()
    queue = iter(items)

    def submit(count: int) -> None:
        waiting.extend((item, pool.submit(work, item)) for item in islice(queue, count))

    try:
        submit((1 + ahead) * max(1, machine().cores))
        while waiting:
            item, ready = waiting.popleft()
            result = ready.result()
            submit(1)
            yield item, result
    finally:
        for _, future in waiting:
            future.cancel()


def seconds_each(
    pool: ThreadPoolExecutor | None, work: Callable[[], object], count: int, limit: float
) -> float:
    """Return seconds an example when all workers do `work` of `count` examples; best of up to 3.

    None for the pool: in this thread. No further round after `limit` seconds.
    """
    workers = 1 if pool is None else max(1, machine().cores)
    best, since = float("inf"), time.perf_counter()
    for _ in range(3):
        start = time.perf_counter()
        if pool is None:
            work()
        else:
            for future in [pool.submit(work) for _ in range(workers)]:
                future.result()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - since > limit:
            break
    return best / (workers * count)
