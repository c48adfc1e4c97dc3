"""Batches for training: decode and preprocess once where memory allows, else at every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from headstart.compute.layout import laid_out
from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.modality import modality
from headstart.sources.backbone import Backbone, Batch

MEMORY_SHARE = 0.25  # of the machine's memory that prepared examples may take
CHUNK = 32
SMALL = 4096  # values an example, up to which a tensor of a shell is real


class Feed:
    """Examples as a backbone wants them.

    Examples of one shape (images) are kept preprocessed, as stacked tensors. Examples of
    different lengths (texts, clips) are kept decoded and padded batch by batch, to the longest of
    the batch only. What does not fit into memory is decoded again when it is asked for.
    """

    def __init__(
        self, backbone: Backbone, inputs: Unlabelled, *, progress: Progress = silent
    ) -> None:
        self._backbone = backbone
        self._inputs = inputs
        self._decode = modality(inputs.modality).decode
        self._decoded: list[Any] | None = None
        self._stacked: Batch | None = None
        self._pool = ThreadPoolExecutor(max(1, machine().cores))
        self._prepare(progress)
        self.lengths = self._lengths()

    def _prepare(self, progress: Progress) -> None:
        sample = [self._decode_row(row) for row in range(min(4, len(self._inputs)))]
        alone = [self._backbone.preprocess([example]) for example in sample]
        size = max(_bytes_of(batch) for batch in alone)
        fits = size * len(self._inputs) < MEMORY_SHARE * machine().memory
        if not fits:
            return
        if _one_shape(alone) and self._inputs.modality != "text":
            self._stacked = self._stack(progress)
        else:
            rows = range(len(self._inputs))
            self._decoded = list(self._pool.map(self._decode_row, rows))

    def _stack(self, progress: Progress) -> Batch | None:
        def chunk(start: int) -> Batch:
            rows = range(start, min(start + CHUNK, len(self._inputs)))
            return self._backbone.preprocess([self._decode_row(row) for row in rows])

        parts: list[Batch] = []
        with progress("preparing examples", len(self._inputs)) as advance:
            for part in self._pool.map(chunk, range(0, len(self._inputs), CHUNK)):
                parts.append(part)
                advance(len(next(iter(part.values()))))
        if not _one_shape([{n: v[:1] for n, v in part.items()} for part in parts]):
            return None  # the sample was of one shape, the rest is not
        return {name: laid_out(torch.cat([part[name] for part in parts])) for name in parts[0]}

    def _decode_row(self, row: int) -> Any:
        return self._decode(self._inputs.items[row], self._backbone.spec)

    def _lengths(self) -> np.ndarray | None:
        if self._inputs.modality != "text":
            return None
        return np.asarray([len(str(item)) for item in self._inputs.items])

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the examples at `rows` as one batch."""
        if self._stacked is not None:
            at = torch.from_numpy(rows)
            return {name: laid_out(value[at]) for name, value in self._stacked.items()}
        if self._decoded is not None:
            return self._backbone.preprocess([self._decoded[int(row)] for row in rows])
        return self._backbone.preprocess(list(self._pool.map(self._decode_row, map(int, rows))))

    def shell(self, rows: np.ndarray) -> Batch:
        """Return a batch of the same shapes whose big tensors are zeros that take no memory.

        For a model whose frozen front is stepped over: it still looks at the shape of its inputs.
        """
        if self._stacked is None:
            return self.batch(rows)
        at = torch.from_numpy(rows)
        return {
            name: value.new_zeros(()).expand(len(rows), *value.shape[1:])
            if value[0].numel() > SMALL
            else value[at]
            for name, value in self._stacked.items()
        }

    def epoch(
        self, rows: np.ndarray, size: int, *, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Yield `rows` in random batches of `size`; texts of like length go together."""
        order = rows[rng.permutation(len(rows))]
        if self.lengths is not None:
            window = size * 16
            order = np.concatenate(
                [
                    part[np.argsort(self.lengths[part], kind="stable")]
                    for part in (order[at : at + window] for at in range(0, len(order), window))
                ]
            )
        starts = np.arange(self.steps(len(order), size)) * size
        for start in rng.permutation(starts):
            yield order[start : start + size]

    def steps(self, count: int, size: int) -> int:
        """Return how many batches an epoch over `count` rows has."""
        left = count % size
        return max(1, count // size + (1 if left and (count < size or left >= size // 2) else 0))

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _one_shape(batches: list[Batch]) -> bool:
    shapes = [{name: tuple(v.shape) for name, v in batch.items()} for batch in batches]
    return all(shape == shapes[0] for shape in shapes) and all(
        isinstance(value, torch.Tensor) for value in batches[0].values()
    )


def _bytes_of(batch: Batch) -> int:
    return sum(v.numel() * v.element_size() for v in batch.values() if hasattr(v, "numel"))
