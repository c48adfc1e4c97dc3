"""The main job on an embedded default: a backbone that read letters reads handwritten digits.

Real data (scikit-learn's digits), twice: with 10 labels a class transfer helps; with 50 a simple
model on the pixels is as good, and the same command says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.run import Run, transfer

if TYPE_CHECKING:
    from headstart.compute.progress import Progress

LABELS = (10, 50)  # a class
SEED = 0


def digits(labels: int) -> tuple[tuple[np.ndarray, list[str]], tuple[np.ndarray, list[str]]]:
    """Return ((images, labels) to learn from, the same to test on): uint8 (n, 8, 8)."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    rng = np.random.default_rng(SEED)
    rows = [rng.permutation(np.flatnonzero(targets == digit))[:labels] for digit in range(10)]
    learn = np.sort(np.concatenate(rows))
    test = np.setdiff1d(np.arange(len(targets)), learn)
    return (
        (pixels[learn], [str(t) for t in targets[learn]]),
        (pixels[test], [str(t) for t in targets[test]]),
    )


def run_demo(
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    show: Callable[[Run], None] | None = None,
) -> list[Run]:
    """Run the demo; one RUN folder an amount of labels under `out`."""
    say = say or (lambda sentence: None)
    place = out or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")
    say("starter:glyphs learned Latin letters from fonts. Does that help with handwritten digits?")
    runs = []
    for labels in LABELS:
        learn, test = digits(labels)
        say(f"\nHandwritten digits, {labels} labels a class, {len(test[1])} test images:")
        run = transfer(
            learn, test=test, model="starter:glyphs", method="probe", budget="60s", seed=SEED,
            out=place / f"{labels}-labels", progress=progress,
        )  # fmt: skip
        runs.append(run)
        if show:
            show(run)
    return runs
