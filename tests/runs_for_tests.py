"""Small data sets made on the spot, and the main job on them in seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from headstart.recipe import PYTHON_OBJECTS, DataRecipe, Recipe
from headstart.run import Run

# Enough for every part to be walked through; nothing here is about good scores.
QUICK: dict[str, dict[str, Any]] = {
    "probe": {"strengths": [1.0, 0.1, 0.01]},
    "from-scratch": {"epochs": 2},
    "finetune": {"epochs": 2},
}
COLOURS = {"red": (200, 60, 60), "green": (60, 190, 70), "blue": (60, 70, 200)}


def run_quickly(
    data: Any, out: Path, *, methods: dict[str, dict[str, Any]] | None = None, seed: int = 0,
    model: str | list[str] | None = None, method: str = "auto",
    studies: dict[str, Any] | None = None, **options: Any,
) -> Run:  # fmt: skip
    """Like `headstart.transfer`, with settings for the methods that make it quick.

    `studies`: fields of the recipe that ask for more: cv, seeds, label_curve.
    """
    from headstart.run.walk import start

    from_disk = isinstance(data, str | Path)
    plain = {k: str(v) for k, v in options.items() if isinstance(v, str | Path)}
    recipe = Recipe(
        models=[model] if isinstance(model, str) else model or [],
        method=method,  # type: ignore[arg-type]
        seed=seed,
        data=DataRecipe(source=str(data) if from_disk else PYTHON_OBJECTS, **plain),  # type: ignore[arg-type]
        methods=methods or QUICK,
        **(studies or {}),
    )
    objects = {k: v for k, v in options.items() if k not in plain}
    folder, record = start(recipe, out, data=None if from_disk else data, options=objects)
    return Run(folder.path, record)


def photo(rng: np.random.Generator, colour: tuple[int, int, int], size: int = 40) -> np.ndarray:
    """A noisy picture with one patch of a colour: (size, size + 8, 3) uint8."""
    pixels = rng.normal(128, 30, (size, size + 8, 3))
    top, left = rng.integers(4, size // 2, 2)
    pixels[top : top + size // 2, left : left + size // 2] = rng.normal(
        colour, 40, (size // 2, size // 2, 3)
    )
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_photos(folder: Path, each: int = 8, *, seed: int = 0, colours: int = 3) -> Path:
    """A folder with one sub-folder a colour, `each` JPEG pictures in it."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for name, colour in list(COLOURS.items())[:colours]:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            path = folder / name / f"{number}.jpg"
            Image.fromarray(photo(rng, colour)).save(path, quality=92)
    return folder


def reviews(count: int, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """(texts of words that the tiny tokenizer knows, "good" or "bad"): all texts differ."""
    rng = np.random.default_rng(seed)
    fillers = ["the", "a", "film", "plot", "is", "was", "very", "and", "of", "it"]
    texts: dict[str, str] = {}
    while len(texts) < count:
        answer = ("good", "bad")[len(texts) % 2]
        words = list(rng.choice(fillers, rng.integers(4, 9)))
        words.insert(int(rng.integers(0, len(words))), answer)
        texts[" ".join(words)] = answer
    return list(texts), list(texts.values())


def tones(count: int, *, seed: int = 0) -> tuple[list[tuple[np.ndarray, int]], list[str]]:
    """(waveforms with their rate of 16000 Hz, "low" or "high")."""
    rng = np.random.default_rng(seed)
    time = np.arange(8000) / 16000
    clips, labels = [], []
    for number in range(count):
        pitch = (220.0, 660.0)[number % 2] * rng.uniform(0.9, 1.1)
        wave = 0.3 * np.sin(2 * np.pi * pitch * time) + rng.normal(0, 0.1, len(time))
        clips.append((wave.astype(np.float32), 16000))
        labels.append(("low", "high")[number % 2])
    return clips, labels


def command(
    *arguments: Any, cwd: Path | None = None, check: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, on one core."""
    return subprocess.run(
        [sys.executable, "-m", "headstart", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, cwd=cwd, check=check,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment, preexec_fn=on_one_core,
    )  # fmt: skip


def on_one_core() -> None:
    """For a process of its own what the fixture `one_core` is for this one."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})


def events(run: Path) -> list[dict[str, Any]]:
    """The lines of log.jsonl that are whole."""
    path = run / "log.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]
