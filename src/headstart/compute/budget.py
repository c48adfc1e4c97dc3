"""Time: durations as people write them, and a budget that runs down."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from headstart.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def seconds_of(text: str | float) -> float:
    """Turn "90", "90s", "10m", "1h30m" or a number into seconds (> 0). Raises UsageError.

    >>> seconds_of("1h30m")
    5400.0
    """
    if isinstance(text, int | float):
        total = float(text)
    else:
        pieces = re.findall(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
        if not pieces or re.sub(r"[\d.smh\s]", "", text.lower()):
            raise UsageError(
                f"--budget {text!r} is no duration; write for example 90s, 10m, 1h30m."
            )
        total = sum(float(number) * _UNITS[unit] for number, unit in pieces)
    if not total > 0:
        raise UsageError(f"--budget must be more than 0 seconds, got {text!r}.")
    return total


@dataclass(frozen=True, slots=True)
class Budget:
    """So many seconds from the moment it was made."""

    seconds: float
    started: float = field(default_factory=time.monotonic)
    processor: float = field(default_factory=time.process_time)  # of this process, at its start

    @property
    def spent(self) -> float:
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        return max(0.0, self.seconds - self.spent)

    @property
    def busy(self) -> float:
        """How many cores this process has kept busy since then, on average."""
        return max(0.0, time.process_time() - self.processor) / max(1e-9, self.spent)


class Stopwatch:
    """Seconds by name, for `Result.seconds`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
