"""Batches for training: decode and preprocess once where memory allows, else at every epoch.

With an augmentation an example has views: row r of n stands for itself, row r + v * n for its
v-th augmented view, which is the same whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch

from headstart.compute.layout import laid_out
from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Unlabelled
from headstart.data.modality import modality
from headstart.sources.backbone import Backbone, Batch

MEMORY_SHARE = 0.25  # of the machine's memory that prepared examples may take
CHUNK = 32
SAMPLED = 4  # examples that are looked at before all are prepared
SMALL = 4096  # values an example, up to which a tensor of a shell is real


class Augments(Protocol):
    """What training asks of an augmentation; see data/augment."""

    def example(self, decoded: Any, *, rng: np.random.Generator) -> Any: ...

    def batch(self, batch: Batch, *, rng: np.random.Generator) -> Batch: ...


class Feed:
    """Examples as a backbone wants them.

    Examples of one shape (images) are kept preprocessed, as stacked tensors. Examples of
    different lengths (texts, clips) are kept decoded and padded batch by batch, to the longest of
    the batch only. What does not fit into memory is decoded again when it is asked for.
    """

    def __init__(
        self, backbone: Backbone, inputs: Unlabelled, *, progress: Progress = silent,
        augment: Augments | None = None, views: int = 0, seed: int = 0,
    ) -> None:  # fmt: skip
        """Prepare `inputs`. `views`: augmented views an example has; 0: a new one every epoch."""
        self._augment, self.views, self._seed = augment, views if augment else 0, seed
        self._backbone = backbone
        self._inputs = inputs
        self._decode = modality(inputs.modality).decode
        self._decoded: list[Any] | None = None
        self._stacked: Batch | None = None
        self._pool = ThreadPoolExecutor(max(1, machine().cores))
        self._prepare(progress)
        self.lengths = self._lengths()

    def _prepare(self, progress: Progress) -> None:
        sample = [self._decode_row(row) for row in range(min(SAMPLED, len(self._inputs)))]
        alone = [self._backbone.preprocess([example]) for example in sample]
        size = max(_bytes_of(batch) for batch in alone)
        self.count = len(self._inputs) * (1 + self.views)
        fits = size * self.count < MEMORY_SHARE * machine().memory
        if not fits:
            return
        if _one_shape(alone) and self._inputs.modality != "text":
            self._stacked = self._stack(progress)
        else:
            rows = range(len(self._inputs))
            self._decoded = list(self._pool.map(self._decode_row, rows))

    def _stack(self, progress: Progress) -> Batch | None:
        def chunk(start: int) -> Batch:
            return self._made(range(start, min(start + CHUNK, self.count)))

        parts: list[Batch] = []
        with progress("preparing examples", self.count) as advance:
            for part in self._pool.map(chunk, range(0, self.count, CHUNK)):
                parts.append(part)
                advance(len(next(iter(part.values()))))
        if not _one_shape([{n: v[:1] for n, v in part.items()} for part in parts]):
            return None  # the sample was of one shape, the rest is not
        return {name: laid_out(torch.cat([part[name] for part in parts])) for name in parts[0]}

    def _decode_row(self, row: int) -> Any:
        """Return the decoded example of a row; of a view, augmented."""
        view, row = divmod(row, len(self._inputs))
        if self._decoded is not None:
            decoded = self._decoded[row]
        else:
            decoded = self._decode(self._inputs.items[row], self._backbone.spec)
        if not view or self._augment is None:
            return decoded
        return self._augment.example(decoded, rng=self._rng(row, view))

    def _rng(self, row: int, view: int) -> np.random.Generator:
        return rng_for(self._seed, f"augment/{row}/{view}")

    def _made(self, rows: Sequence[int]) -> Batch:
        """Decode, augment and preprocess."""
        batch = self._backbone.preprocess([self._decode_row(row) for row in rows])
        return self._after(batch, np.asarray(rows))

    def _after(self, batch: Batch, rows: np.ndarray) -> Batch:
        """Let the augmentation change what preprocessing made of its views, one by one."""
        if self._augment is None:
            return batch
        changed = dict(batch)
        for at in np.flatnonzero(rows >= len(self._inputs)):
            view, row = divmod(int(rows[at]), len(self._inputs))
            one = {name: value[at : at + 1] for name, value in batch.items()}
            new = self._augment.batch(one, rng=self._rng(row, -view))
            for name, value in new.items():
                if value is not one[name]:
                    if changed[name] is batch[name]:
                        changed[name] = batch[name].clone()
                    changed[name][at : at + 1] = value
        return changed

    @property
    def bytes_each(self) -> float:
        """Bytes of memory that a prepared example takes; 0 where none is kept, or for a text."""
        if self._stacked is not None:
            return _bytes_of(self._stacked) / self.count
        kept = self._decoded or []
        return sum(getattr(one, "nbytes", 0) for one in kept) / max(1, len(kept))

    def _lengths(self) -> np.ndarray | None:
        if self._inputs.modality != "text":
            return None
        return np.asarray([len(str(item)) for item in self._inputs.items])

    def length_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the characters of the texts at `rows`; of a view, those of the original."""
        assert self.lengths is not None
        found: np.ndarray = self.lengths[rows % len(self._inputs)]
        return found

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the examples at `rows` as one batch."""
        if self._stacked is not None and int(rows.max()) < self.count:
            at = torch.from_numpy(rows)
            return {name: laid_out(value[at]) for name, value in self._stacked.items()}
        decoded = list(self._pool.map(self._decode_row, map(int, rows)))
        batch = self._after(self._backbone.preprocess(decoded), rows)
        return {name: laid_out(value) for name, value in batch.items()}

    def shell(self, rows: np.ndarray) -> Batch:
        """Return a batch of the same shapes whose big tensors are zeros that take no memory.

        For a model whose frozen front is stepped over: it still looks at the shape of its inputs.
        """
        if self._stacked is None or int(rows.max()) >= self.count:
            return self.batch(rows)
        at = torch.from_numpy(rows)
        return {
            name: value.new_zeros(()).expand(len(rows), *value.shape[1:])
            if value[0].numel() > SMALL
            else value[at]
            for name, value in self._stacked.items()
        }

    def seen(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Return the views of `rows` that epoch 0, 1, 2 … trains on."""
        if self._augment is None:
            return rows
        view = 1 + (epoch % self.views if self.views else epoch)
        return rows + view * len(self._inputs)

    def every_view(self, rows: np.ndarray) -> np.ndarray:
        """Return all views of `rows` that will be trained on; empty where there is no end."""
        if self._augment is None:
            return rows
        each = [rows + view * len(self._inputs) for view in range(1, self.views + 1)]
        return np.concatenate(each) if each else rows[:0]

    def epoch(
        self, rows: np.ndarray, size: int, *, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Yield `rows` in random batches of `size`; texts of like length go together."""
        order = rows[rng.permutation(len(rows))]
        if self.lengths is not None:
            window = size * 16
            order = np.concatenate(
                [
                    part[np.argsort(self.length_of(part), kind="stable")]
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
