"""One pass over all examples before anything else: what can be read, and what it is.

Nothing that is decoded is kept, so memory stays constant; an unreadable example goes to
quarantine with its reason, and is neither deleted nor replaced.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Item
from headstart.data.modality.base import InputSpec, Modality
from headstart.data.raw import Quarantined
from headstart.errors import Unreadable

DIGEST = 16  # bytes
CHUNK = 16  # examples that a thread takes at a time
TEXT_CHUNK = 20_000
MOST_THREADS = 8
# Small enough for JPEG's reduced decoding; the file is read to its end all the same.
SURVEY = InputSpec(size=64)


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """`kept`: rows (m,) int64 that can be read; `digests` (m, 16) uint8 of their contents."""

    kept: np.ndarray
    digests: np.ndarray
    quarantine: list[Quarantined]


# For each example of a chunk: its digest, or the reason why it cannot be read.
Findings = list[bytes | str]


def survey(
    items: Sequence[Item],
    ids: Sequence[str],
    modality: Modality,
    *,
    progress: Progress = silent,
    threads: int | None = None,
) -> Surveyed:
    """Read, hash and fully decode every example once.

    A text is a string at hand, which threads would only slow down; files are read by threads,
    at most two chunks a thread ahead. Ctrl-C stops within the examples in hand.
    """
    found: Findings = []
    with progress(f"Checking {modality.name} examples", len(items)) as advance:
        if modality.name == "text":
            for start in range(0, len(items), TEXT_CHUNK):
                part = _examine(items[start : start + TEXT_CHUNK], modality)
                found.extend(part)
                advance(len(part))
        else:
            found = _threaded(items, modality, advance, threads or _threads())
    kept = [row for row, what in enumerate(found) if isinstance(what, bytes)]
    digests = b"".join(what for what in found if isinstance(what, bytes))
    return Surveyed(
        kept=np.asarray(kept, dtype=np.int64),
        digests=np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST),
        quarantine=[
            Quarantined(ids[row], what) for row, what in enumerate(found) if isinstance(what, str)
        ],
    )


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MOST_THREADS, cores or 1))


def _threaded(
    items: Sequence[Item], modality: Modality, advance: Callable[[int], None], threads: int
) -> Findings:
    found: Findings = []
    starts = deque(range(0, len(items), CHUNK))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="survey")
    waiting: deque[Future[Findings]] = deque()
    try:
        while starts or waiting:
            while starts and len(waiting) < 2 * threads:
                start = starts.popleft()
                waiting.append(pool.submit(_examine, items[start : start + CHUNK], modality))
            part = waiting.popleft().result()
            found.extend(part)
            advance(len(part))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return found


def _examine(items: Sequence[Item], modality: Modality) -> Findings:
    found: Findings = []
    for item in items:
        try:
            digest = hashlib.blake2b(modality.read(item), digest_size=DIGEST).digest()
            modality.decode(item, SURVEY)
            found.append(digest)
        except Unreadable as error:
            found.append(str(error))
        except OSError as error:
            found.append((error.strerror or str(error)).lower())
    return found
