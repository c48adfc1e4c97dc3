"""Examples in, features out: decode, preprocess, run the frozen backbone once, keep the result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.compute.machine import machine
from headstart.compute.progress import Progress, silent
from headstart.data.dataset import Unlabelled
from headstart.data.modality import modality
from headstart.errors import DataError, ModelError, Unreadable
from headstart.features.batches import Batching, batches
from headstart.features.crew import crew, in_order
from headstart.features.engine import BUILTIN, Choice, Engine, choose
from headstart.features.store import Store, evict
from headstart.sources.backbone import Backbone, Batch

FORMAT = 2  # raise when an engine's features change for equal backbones: it is part of every key
SHARD_SECONDS = 5.0  # between shards of the store: what a killed extraction loses at most
SHARD_BYTES = 64 * 2**20  # of features that wait in memory, at most
SAMPLE = 6  # examples on which a faster engine must agree with fp32


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
        self._found: tuple[str, float] | None = None  # engine of the features, its agreement
        self._batching = Batching()
        self._modality = modality(backbone.card.modality)

    @property
    def engine(self) -> str | None:
        """Name of the engine in use; None before the first example was run."""
        return self._found[0] if self._found else self._engine

    @property
    def agreement(self) -> float | None:
        """Lowest cosine with fp32 on the sample; None before the first example was run."""
        return round(self._found[1], 6) if self._found else None

    @property
    def refused(self) -> dict[str, str]:
        """Engines that were tried and not used, and why."""
        if self._choice is None:
            return {}
        low = {name: f"cosine {value:.4f}" for name, value in self._choice.refused.items()}
        return low | self._choice.failed

    @property
    def measured(self) -> dict[str, float]:
        """Milliseconds an example of the engines that agreed and were timed; {} without rivals."""
        seconds = self._choice.seconds if self._choice else {}
        if len(seconds) < 2:
            return {}
        return {name: round(1000 * value, 3) for name, value in seconds.items()}

    def table(self, inputs: Unlabelled, *, progress: Progress = silent) -> FeatureTable:
        """Return the features of `inputs`.

        Raises ModelError when the backbone is of another modality or gives NaN, DataError when an
        example cannot be decoded, RunError when the store cannot be written.
        """
        self._check(inputs)
        start = time.perf_counter()
        found, todo = self._stored(inputs)
        if found is None or len(todo):
            store, todo = self._extracted(inputs, todo, found, progress)
        else:
            store = found
        store.touch()
        assert self._found is not None
        engine, agreement = self._found
        return FeatureTable(
            features=store.gather(inputs.digests),
            key=store.folder.name,
            engine=engine,
            agreement=agreement,
            extracted=len(todo),
            seconds=time.perf_counter() - start,
        )

    def _extracted(
        self, inputs: Unlabelled, todo: np.ndarray, found: Store | None, progress: Progress
    ) -> tuple[Store, np.ndarray]:
        """Run what is missing; returns the store, and the rows that were run."""
        with crew() as pool:
            choice = self._chosen(inputs, len(todo), found, pool)
            store = self._store(choice.name, choice.agreement)
            todo = store.missing(inputs.digests)
            if len(todo):
                with progress(f"features of {self.backbone.card.id}", len(todo)) as advance:
                    for rows, features in self._features(inputs, todo, choice, pool):
                        store.append(inputs.digests[rows], features)
                        advance(len(rows))
                evict(root=self._root, keep=store.folder.name)
        return store, todo

    def _check(self, inputs: Unlabelled) -> None:
        if inputs.modality != self.backbone.card.modality:
            raise ModelError(
                f"{self.backbone.card.id} takes {self.backbone.card.modality}, the data is "
                f"{inputs.modality}. Name a model for {inputs.modality} with --model."
            )
        if not len(inputs):
            raise DataError("There are no examples to extract features from.")

    def _key(self, engine: str) -> str:
        return f"{self.backbone.fingerprint}-{engine}-{FORMAT}"

    def _store(self, engine: str, agreement: float) -> Store:
        about = {
            "backbone": self.backbone.card.id,
            "engine": engine,
            "width": self.backbone.width,
            "agreement": agreement,
        }
        return Store(self._key(engine), self.backbone.width, root=self._root, about=about)

    def try_out(self, inputs: Unlabelled, count: int) -> None:
        """Run the first `count` of the examples that the store lacks. Raises as `table` does.

        Nothing is stored, and the engine is chosen for all of `inputs`: both would bind whoever
        runs them next to an engine that was good enough for so few.
        """
        self._check(inputs)
        found, todo = self._stored(inputs)
        if not len(todo):
            return
        with crew() as pool:
            choice = self._chosen(inputs, len(todo), found, pool)
            for _ in self._features(inputs, todo[:count], choice, pool):
                pass

    def lacking(self, inputs: Unlabelled) -> int:
        """Return how many of the examples have no features in the store yet."""
        return len(self._stored(inputs)[1])

    def _stored(self, inputs: Unlabelled) -> tuple[Store | None, np.ndarray]:
        """Return the store that has most of the features, and the rows that it lacks.

        Features of any engine will do, since all of them agree with fp32; but one backbone keeps
        to the engine that it began with.
        """
        everything = np.arange(len(inputs))
        best: Store | None = None
        lacking = everything
        names = [self._found[0]] if self._found else [engine.name for engine in self._engines()]
        for name in names:
            store = Store(self._key(name), self.backbone.width, root=self._root)
            todo = store.missing(inputs.digests) if store.folder.is_dir() else everything
            if len(todo) < len(lacking):
                best, lacking = store, todo
        if best is not None and not len(lacking) and self._found is None:
            self._found = (best.engine, best.agreement)
        return best, lacking

    def _engines(self) -> list[Engine]:
        return [engine for engine in BUILTIN if self._engine in (None, engine.name)]

    def _chosen(
        self, inputs: Unlabelled, count: int, store: Store | None, pool: ThreadPoolExecutor
    ) -> Choice:
        """Choose the engine for `count` examples; where some are in a store already, its engine."""
        if self._choice is None:
            rows = np.unique(np.linspace(0, len(inputs) - 1, SAMPLE).astype(np.int64))
            sample = self._batch(inputs, rows)
            engines = self._engines()
            known = self._found[0] if self._found else store.engine if store else self._engine
            if known is not None:
                engines = [engine for engine in engines if engine.name == known]
                self._choice = choose(self.backbone, sample, engines)
            else:
                side = pool if machine().device == "cpu" else None
                self._choice = choose(self.backbone, sample, engines, count=count, pool=side)
            self._found = (self._choice.name, self._choice.agreement)
            self._batching = Batching.of(self.backbone, sample)
        return self._choice

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
        self, inputs: Unlabelled, todo: np.ndarray, choice: Choice, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (rows, features) a shard."""
        rows_of_shard: list[np.ndarray] = []
        shard: list[np.ndarray] = []
        since = time.perf_counter()
        for rows, features in self._run(inputs, todo, choice, pool):
            if not np.isfinite(features).all():
                raise ModelError(
                    f"{self.backbone.card.id} gives NaN or infinite features, for instance for "
                    f"{inputs.ids[int(rows[0])]}. The weights may be damaged."
                )
            rows_of_shard.append(rows)
            shard.append(features)
            size = 4 * features.shape[1] * sum(map(len, rows_of_shard))
            if time.perf_counter() - since > SHARD_SECONDS or size > SHARD_BYTES:
                yield np.concatenate(rows_of_shard), np.concatenate(shard)
                rows_of_shard, shard, since = [], [], time.perf_counter()
        if shard:
            yield np.concatenate(rows_of_shard), np.concatenate(shard)

    def _run(
        self, inputs: Unlabelled, todo: np.ndarray, choice: Choice, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (rows, features) a batch.

        On a CPU a worker takes a batch from files to features; beside another device the workers
        decode, and this thread runs.
        """
        chunks = batches(inputs, todo, self._batching)
        if machine().device == "cpu":
            yield from in_order(pool, lambda rows: choice.run(self._batch(inputs, rows)), chunks)
        else:
            for rows, batch in in_order(pool, lambda rows: self._batch(inputs, rows), chunks):
                yield rows, choice.run(batch)
