"""What a process takes: memory, disk, and grams of CO2 under an assumption that is named."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

WATTS = 10.0  # a core
GRID = 475.0  # g CO2 a kWh


@dataclass(frozen=True, slots=True)
class Power:
    """Electric power and where it comes from.

    `watts` a busy core: what a server's CPU, its memory and cooling come to, roughly. `grid`: grams
    of CO2 a kWh; the default is the world's average of 2018 (IEA, Global Energy & CO2 Status
    Report).
    """

    watts: float = WATTS
    grid: float = GRID

    def grams(self, seconds: float, cores: float) -> float:
        """Return grams of CO2 of so many seconds with so many cores busy on average.

        >>> Power(10.0, 475.0).grams(3600.0, 2)
        9.5
        """
        return seconds / 3600.0 * self.watts * cores / 1000.0 * self.grid

    def words(self, busy: float, cores: int) -> str:
        """Name the assumption. `busy`: cores that were, on average, when it was estimated."""
        known = "the world's average of 2018, IEA" if self.grid == GRID else "as given"
        return (
            f"{self.watts:g} W a core that is busy, with memory and cooling, and "
            f"{self.grid:g} g a kWh ({known}): assumptions, not measurements; --watts and --grid "
            f"of headstart advise set them. What is expected takes {busy:.1f} of {cores} cores for "
            "busy, as so far; what happened, the processor's own seconds. A GPU is not counted"
        )


def memory_most() -> float | None:
    """Return the most bytes that this process has had since it began; None where unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most) * (1 if sys.platform == "darwin" else 1024)


def memory_now() -> float | None:
    """Return the bytes that this process has; the most that it has had where only that is known."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return memory_most()
    import resource

    return float(pages * resource.getpagesize())


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder; 0 where there is none."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # another run has moved it meanwhile
    return total
