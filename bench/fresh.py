"""Measurements in processes of their own, ours and theirs in turn, so that noise hits both."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
REPEATS = 3


def fresh(module: str, *arguments: str, setting: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `python -m module arguments` with an empty cache; returns the JSON of its last line."""
    with TemporaryDirectory(prefix="headstart-bench-") as cache:
        found = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "HEADSTART_CACHE": cache,
                "HF_HUB_OFFLINE": "1",
                "TRANSFORMERS_VERBOSITY": "error",
                "TOKENIZERS_PARALLELISM": "true",
                **(setting or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if found.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{found.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    return result


def place_of(folder: Path, title: str) -> Path:
    """Return where `kept` keeps a measurement."""
    return folder / f"{re.sub(r'[^a-z0-9._]+', '-', title.lower())}.json"


def kept(folder: Path, title: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the measurement `title` from `folder`, or make it and keep it there as JSON."""
    path = place_of(folder, title)
    if not path.exists():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found), encoding="utf-8")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def in_turn(
    module: str, sides: Mapping[str, tuple[str, ...]], repeats: int = REPEATS
) -> dict[str, dict[str, Any]]:
    """Run every side `repeats` times, one after the other; returns the run of median seconds.

    Each process prints {"seconds": …, …} as its last line.
    """
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, arguments in sides.items():
            runs[side].append(fresh(module, *arguments))
    return {
        side: min(found, key=lambda run: abs(run["seconds"] - _median(found)))
        for side, found in runs.items()
    }


def _median(runs: list[dict[str, Any]]) -> float:
    return median(run["seconds"] for run in runs)
