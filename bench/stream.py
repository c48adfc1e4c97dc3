"""A million texts through the extractor in constant memory, with a backbone that costs nothing."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.fresh import fresh
from bench.table import Row, below

NAME = "stream"
ROWS = 1_000_000
WIDTH = 384
GROWTH = 1.0  # GiB; the features are 1.43 GiB, the digests and ids belong to the data


class Texts(Sequence[str]):
    """Made when they are asked for, so that memory is the extractor's alone."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: Any) -> str:
        return "text " * (1 + row % 40)


def run() -> list[Row]:
    found = fresh("bench.stream")
    note = f"{ROWS:,} texts in {found['seconds']:.0f} s, {found['size']:.2f} GiB of features"
    return [below("stream a million texts", found["growth"], GROWTH, note, "GiB")]


def _measured() -> dict[str, float]:
    import torch

    from headstart.data.dataset import Unlabelled
    from headstart.data.modality.base import InputSpec
    from headstart.features.extract import Extractor
    from headstart.sources.backbone import BackboneCard

    class Free:
        card = BackboneCard(id="free", source="bench", modality="text")
        module = torch.nn.Linear(1, 1)
        width, fingerprint, stages, spec = WIDTH, "free", (), InputSpec()
        trainable = True

        def preprocess(self, decoded: Sequence[str]) -> dict[str, Any]:
            return {"lengths": torch.tensor([[len(text)] for text in decoded])}

        def embed(self, batch: dict[str, Any]) -> torch.Tensor:
            return batch["lengths"].float().expand(-1, WIDTH)

    texts = Texts()
    digests = np.random.default_rng(0).integers(0, 256, (ROWS, 16), dtype=np.uint8)
    inputs = Unlabelled("text", texts, texts, digests)
    before = _anonymous()
    start = time.perf_counter()
    extractor = Extractor(Free(), engine="fp32")  # type: ignore[arg-type]
    most = before

    @contextmanager
    def watch(what: str, total: int) -> Iterator[Callable[[int], None]]:
        def advance(count: int) -> None:
            nonlocal most
            most = max(most, _anonymous())

        yield advance

    table = extractor.table(inputs, progress=watch)
    seconds = time.perf_counter() - start
    assert isinstance(table.features, np.memmap) and len(table) == ROWS
    assert (table.features[[0, 39, -1], 0] == [5, 200, 5 * 40]).all()
    growth = max(most, _anonymous()) - before
    return {"seconds": seconds, "growth": growth, "size": table.features.nbytes / 2**30}


def _anonymous() -> float:
    """Return GiB of the process's own memory, mapped files not counted; the peak where unknown."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 2**20


if __name__ == "__main__":
    print(json.dumps(_measured()))
    sys.exit(0)
