"""How a long pass over data tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Opens one bar: `with progress("Checking images", 300) as advance: advance(1)`."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


def _ignore(done: int) -> None:
    """Hear how many more are done, and say nothing."""


@contextmanager
def silent(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show nothing: the default."""
    yield _ignore
