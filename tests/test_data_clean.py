"""The survey: one bounded pass that hashes and decodes everything."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from headstart.data.clean import survey
from headstart.data.modality.base import InputSpec
from headstart.errors import Unreadable


class Counting:
    """A modality whose items are numbers; every tenth cannot be decoded, 7 cannot be read."""

    name = "numbers"
    suffixes: frozenset[str] = frozenset()

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.decoded: list[int] = []
        self.lock = threading.Lock()

    def read(self, item: Any) -> bytes:
        if item == 7:
            raise PermissionError(13, "Permission denied")
        return str(item).encode()

    def decode(self, item: Any, spec: InputSpec) -> Any:
        with self.lock:
            self.decoded.append(item)
        if item == self.stop_at:
            raise KeyboardInterrupt
        if item % 10 == 9:
            raise Unreadable(f"{item} ends in 9")
        return item


def test_survey_keeps_order_and_reasons() -> None:
    total = 333
    seen: list[int] = []

    @contextmanager
    def progress(what: str, of: int) -> Iterator[Callable[[int], None]]:
        assert (what, of) == ("Checking numbers examples", total)
        yield seen.append

    items: Any = list(range(total))
    ids = [f"n{i}" for i in items]
    for threads in (1, 4):
        seen.clear()
        found = survey(items, ids, Counting(), progress=progress, threads=threads)  # type: ignore[arg-type]
        good = [i for i in items if i % 10 != 9 and i != 7]
        assert found.kept.tolist() == good
        expected = [list(hashlib.blake2b(str(i).encode(), digest_size=16).digest()) for i in good]
        assert np.array_equal(found.digests, expected)
        assert (found.quarantine[0].id, found.quarantine[0].reason) == ("n7", "permission denied")
        assert (found.quarantine[1].id, found.quarantine[1].reason) == ("n9", "9 ends in 9")
        assert sum(seen) == total


def test_an_interruption_leaves_the_rest_undone() -> None:
    kind = Counting(stop_at=20)
    items: Any = list(range(10_000))
    with pytest.raises(KeyboardInterrupt):
        survey(items, [str(i) for i in items], kind, threads=2)  # type: ignore[arg-type]
    assert len(kind.decoded) < 300


def test_nothing_to_survey() -> None:
    found = survey([], [], Counting())  # type: ignore[arg-type]
    assert found.digests.shape == (0, 16)
