"""Start-up: `import headstart` beyond the interpreter, and `headstart --help`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from bench.table import Row, below

NAME = "startup"
TIMES = 7


def run() -> list[Row]:
    bare = _median([sys.executable, "-c", "pass"])
    imported = _median([sys.executable, "-c", "import headstart"])
    shown = _median([sys.executable, "-m", "headstart", "--help"])
    return [
        below("import headstart, beyond the interpreter", max(imported - bare, 1e-4), 0.05),
        below("headstart --help", shown, 0.4),
    ]


def _median(command: list[str]) -> float:
    times = []
    for _ in range(TIMES):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
