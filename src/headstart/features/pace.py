"""How fast and how large a backbone is here, measured on a few batches of a person's examples."""

from __future__ import annotations

import time

import numpy as np

from headstart.data.dataset import Unlabelled
from headstart.features.batches import COUNT, LIVE, largest
from headstart.features.crew import crew
from headstart.features.extract import Extractor

TIMED = 64  # examples
AGAIN = 4  # times at most that fewer are timed


def seconds_per_thousand(extractor: Extractor, inputs: Unlabelled) -> float:
    """Return the seconds that 1,000 examples take: decoding, preprocessing, the forward pass.

    Measured on up to 64 examples with the engine that the extractor uses, after a first batch that
    is not counted; where there are fewer, the best of up to four times. The store plays no part.
    """
    everything = np.arange(len(inputs))
    rows = np.unique(np.linspace(0, len(inputs) - 1, TIMED).astype(np.int64))
    # The parts of `table` that do the work, without its store: the same code is timed that is used.
    with crew() as pool:
        choice = extractor._chosen(inputs, len(everything), None, pool)
        for _ in extractor._features(inputs, rows[: COUNT // 4], choice, pool):
            pass
        best = float("inf")
        for _ in range(min(AGAIN, TIMED // len(rows))):
            start = time.perf_counter()
            for _ in extractor._features(inputs, rows, choice, pool):
                pass
            best = min(best, time.perf_counter() - start)
    return 1000.0 * best / len(rows)


def working_memory(extractor: Extractor, inputs: Unlabelled) -> int | None:
    """Return bytes: weights in float32, and the activations of a full batch like one example.

    Activations are taken as four times the largest output of any layer (input, output, residual,
    work space). None for a model whose layers torch cannot see.
    """
    backbone = extractor.backbone
    weights = sum(parameter.numel() for parameter in backbone.module.parameters())
    if not weights:
        return None
    batch = extractor._batch(inputs, np.array([len(inputs) // 2]))
    return 4 * weights + COUNT * LIVE * largest(backbone, batch)
