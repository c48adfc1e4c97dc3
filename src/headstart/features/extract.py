"""Examples in, features out: decode, preprocess, run the frozen backbone once, keep the result."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.modality import modality
from headstart.errors import DataError, ModelError, Unreadable
from headstart.features.engine import BUILTIN, Choice, choose
from headstart.features.store import Store, evict
from headstart.sources.backbone import Backbone, Batch

BATCH = 32  # examples a forward pass
SHARD = 1024  # examples a shard of the store: what a killed extraction loses at most
SAMPLE = 6  # examples on which a faster engine must agree with fp32
WINDOW = 8192  # texts that are sorted by length together


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """Features (n, d) float32 of n examples, memory-mapped where the store allows it."""

    features: np.ndarray
    key: str  # fingerprint of weights, preprocessing, pooling and engine
    engine: str
    agreement: float  # lowest cosine with fp32 on a sample
    extracted: int  # examples that were run now; the rest came from the store
    seconds: float

    def __len__(self) -> int:
        return len(self.features)


class Extractor:
    """Runs one frozen backbone over any number of example sets, through the store.

    The engine is chosen at the first example that is not in the store yet, and kept.
    """

    def __init__(
        self, backbone: Backbone, *, engine: str | None = None, root: Path | None = None
    ) -> None:
        self.backbone = backbone
        self._engine = engine
        self._root = root
        self._choice: Choice | None = None
        self._modality = modality(backbone.card.modality)

    @property
    def engine(self) -> str | None:
        """Name of the engine in use; None before the first example was run."""
        return self._choice.name if self._choice else self._engine

    @property
    def agreement(self) -> float | None:
        """Lowest cosine with fp32 on the sample; None before the first example was run."""
        return round(self._choice.agreement, 6) if self._choice else None

    def table(self, inputs: Unlabelled, *, progress: Progress = silent) -> FeatureTable:
        """Return the features of `inputs`.

        Raises ModelError when the backbone is of another modality or gives NaN, DataError when an
        example cannot be decoded, RunError when the store cannot be written.
        """
        self._check(inputs)
        start = time.perf_counter()
        choice = self._chosen(inputs)
        store = self._store(choice.name)
        todo = store.missing(inputs.digests)
        if len(todo):
            todo = self._order(inputs, todo)
            with progress(f"features of {self.backbone.card.id}", len(todo)) as advance:
                for rows, features in self._features(inputs, todo, choice):
                    store.append(inputs.digests[rows], features)
                    advance(len(rows))
            evict()
        store.touch()
        return FeatureTable(
            features=store.gather(inputs.digests),
            key=store.folder.name,
            engine=choice.name,
            agreement=choice.agreement,
            extracted=len(todo),
            seconds=time.perf_counter() - start,
        )

    def _check(self, inputs: Unlabelled) -> None:
        if inputs.modality != self.backbone.card.modality:
            raise ModelError(
                f"{self.backbone.card.id} takes {self.backbone.card.modality}, the data is "
                f"{inputs.modality}. Name a model for {inputs.modality} with --model."
            )
        if not len(inputs):
            raise DataError("There are no examples to extract features from.")

    def _store(self, engine: str) -> Store:
        about = {"backbone": self.backbone.card.id, "engine": engine, "width": self.backbone.width}
        key = f"{self.backbone.fingerprint}-{engine}"
        return Store(key, self.backbone.width, root=self._root, about=about)

    def _chosen(self, inputs: Unlabelled) -> Choice:
        if self._choice is None:
            rows = np.unique(np.linspace(0, len(inputs) - 1, SAMPLE).astype(np.int64))
            engines = [e for e in BUILTIN if self._engine in (None, e.name)]
            self._choice = choose(self.backbone, self._batch(inputs, rows), engines)
        return self._choice

    def _order(self, inputs: Unlabelled, rows: np.ndarray) -> np.ndarray:
        """Put texts of like length beside each other, so that batches carry little padding."""
        if inputs.modality != "text":
            return rows
        lengths = np.asarray([len(str(inputs.items[int(row)])) for row in rows])
        windows = [
            rows[at : at + WINDOW][np.argsort(lengths[at : at + WINDOW], kind="stable")]
            for at in range(0, len(rows), WINDOW)
        ]
        return np.concatenate(windows)

    def _batch(self, inputs: Unlabelled, rows: np.ndarray) -> Batch:
        decoded = []
        for row in rows:
            try:
                decoded.append(self._modality.decode(inputs.items[int(row)], self.backbone.spec))
            except Unreadable as error:
                raise DataError(
                    f"{inputs.ids[int(row)]} could be read before and cannot now: {error}"
                ) from error
        return self.backbone.preprocess(decoded)

    def _features(
        self, inputs: Unlabelled, todo: np.ndarray, choice: Choice
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (rows, features) a shard, decoding ahead in threads."""
        rows_of_shard: list[np.ndarray] = []
        shard: list[np.ndarray] = []
        for rows, batch in self._ahead(inputs, todo):
            features = choice.run(batch)
            if not np.isfinite(features).all():
                raise ModelError(
                    f"{self.backbone.card.id} gives NaN or infinite features, for instance for "
                    f"{inputs.ids[int(rows[0])]}. The weights may be damaged."
                )
            rows_of_shard.append(rows)
            shard.append(features)
            if sum(map(len, rows_of_shard)) >= SHARD:
                yield np.concatenate(rows_of_shard), np.concatenate(shard)
                rows_of_shard, shard = [], []
        if shard:
            yield np.concatenate(rows_of_shard), np.concatenate(shard)

    def _ahead(self, inputs: Unlabelled, todo: np.ndarray) -> Iterator[tuple[np.ndarray, Batch]]:
        chunks = [todo[at : at + BATCH] for at in range(0, len(todo), BATCH)]
        waiting: deque[tuple[np.ndarray, Future[Batch]]] = deque()
        workers = max(1, min(4, machine().cores))
        with ThreadPoolExecutor(workers, thread_name_prefix="headstart-decode") as pool:
            try:
                for chunk in chunks:
                    waiting.append((chunk, pool.submit(self._batch, inputs, chunk)))
                    if len(waiting) > workers:
                        rows, ready = waiting.popleft()
                        yield rows, ready.result()
                while waiting:
                    rows, ready = waiting.popleft()
                    yield rows, ready.result()
            finally:
                for _, future in waiting:
                    future.cancel()
