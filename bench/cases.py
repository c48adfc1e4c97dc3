"""The real data sets and models that benchmarks share: ../shared beside the checkout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.load import Opened, open_dataset

SHARED = Path(__file__).resolve().parents[2] / "shared"
MOBILENET = str(SHARED / "models" / "mobilenet_v2_100_224")
YAMNET = str(SHARED / "models" / "yamnet")
MINILM = "starter:minilm"


@dataclass(frozen=True, slots=True)
class Case:
    """One data set with the backbone that the issue names for it."""

    name: str
    model: str
    data: Any
    options: dict[str, Any]

    def open(self, seed: int = 0) -> Opened:
        """Open it; `seed` draws the test part where the data has none."""
        return open_dataset(self.data, seed=seed, **self.options)


def digits_spoken() -> Any:
    """Return fsdd as a table: recordings 0 to 4 of every speaker and digit are the test part."""
    import pandas as pd

    files = sorted((SHARED / "data" / "fsdd" / "recordings").glob("*.flac"))
    parts = [file.stem.split("_") for file in files]
    split = ["test" if int(index) < 5 else "train" for _, _, index in parts]
    digits = [digit for digit, _, _ in parts]
    return pd.DataFrame({"path": [str(f) for f in files], "label": digits, "split": split})


def cases() -> list[Case]:
    """Return the six cases of the probe. Raises FileNotFoundError without ../shared."""
    data = SHARED / "data"
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is absent: benchmarks need the shared data and models")
    spoken = {"input": "path", "target": "label"}
    return [
        Case("clothing_small", MOBILENET, data / "clothing_small", {}),
        Case("hymenoptera", MOBILENET, data / "hymenoptera", {}),
        Case("sst2", MINILM, data / "sst2", {}),
        Case("trec", MINILM, data / "trec", {}),
        Case("instruments", YAMNET, data / "instruments", {}),
        Case("fsdd", YAMNET, digits_spoken(), spoken),
    ]


def accuracy(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of rows whose largest score is the true class."""
    return float((scores.argmax(axis=1) == truth).mean())
