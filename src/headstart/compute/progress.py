"""Somebody may want to watch: the protocol of progress bars, and the silent one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """`with progress("reading", total) as advance: advance(1)`."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


@contextmanager
def silent(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Watch nothing."""
    yield lambda count: None
