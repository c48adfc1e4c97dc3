"""The values at the start of every run: examples, labelled examples, and their splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.task import Task
from headstart.records import Sealed

# One example before decoding: a file, a text, an image array (h, w) or (h, w, 3) uint8,
# or a waveform as (samples float32 (t,) or (t, channels), sampling rate in Hz).
Item = Path | str | np.ndarray | tuple[np.ndarray, int]


@dataclass(frozen=True, slots=True, eq=False)
class Unlabelled:
    """Examples without targets: all that feature extraction and prediction may see.

    `digests` (n, 16) uint8 are BLAKE2b-128 hashes of each example's content: the feature store is
    keyed by them, so that an example keeps its features when it is renamed or moved.
    """

    modality: str
    items: Sequence[Item]
    ids: Sequence[str]  # how a person finds the example again: relative path, or "row 17"
    digests: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.items) == len(self.ids) == len(self.digests):
            raise ValueError(
                f"Unlabelled needs as many ids and digests as items, got {len(self.items)} items, "
                f"{len(self.ids)} ids, {len(self.digests)} digests."
            )

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: np.ndarray) -> Unlabelled:
        """Return the examples at `rows` (integer indices), in that order."""
        items = self.items[rows] if isinstance(self.items, np.ndarray) else None
        return replace(
            self,
            items=items if items is not None else [self.items[int(r)] for r in rows],
            ids=[self.ids[int(r)] for r in rows],
            digests=self.digests[rows],
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the contents, order included."""
        return hashlib.blake2b(self.digests.tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Labelled examples; a view of one is another.

    `targets`: int64 (n,) class numbers; int8 (n, k) of 0 and 1 for multi-label; float64 (n,) for
    regression. `groups`: object (n,) or None: examples of one group never part.
    """

    name: str
    inputs: Unlabelled
    targets: np.ndarray
    task: Task
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(self.targets) != len(self.inputs):
            raise ValueError(
                f"Dataset {self.name!r} has {len(self.inputs)} examples and "
                f"{len(self.targets)} targets."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: np.ndarray) -> Dataset:
        """Return the examples at `rows` (integer indices), in that order."""
        groups = self.groups[rows] if self.groups is not None else None
        return replace(
            self, inputs=self.inputs.take(rows), targets=self.targets[rows], groups=groups
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the contents and targets, order included."""
        mixed = hashlib.blake2b(self.inputs.digests.tobytes(), digest_size=16)
        mixed.update(np.ascontiguousarray(self.targets).tobytes())
        mixed.update("\0".join(self.task.labels).encode())
        return mixed.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class TestPart:
    """The test part: inputs that anybody may predict, targets that only the judge opens, once."""

    __test__ = False  # for pytest: this is no test class

    inputs: Unlabelled
    targets: Sealed
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Training data, validation data if the person's data has its own, and the sealed test part."""

    train: Dataset
    validation: Dataset | None
    test: TestPart
    facts: dict[str, Any]  # counts and class counts a split, for the record


def joined(one: Dataset, other: Dataset) -> Dataset:
    """Return both one after the other; they must be of one task."""
    if one.task.labels != other.task.labels:
        raise ValueError(f"{one.name!r} and {other.name!r} have different labels.")
    groups = None
    if one.groups is not None and other.groups is not None:
        groups = np.concatenate([one.groups, other.groups])
    inputs = Unlabelled(
        one.inputs.modality,
        [*one.inputs.items, *other.inputs.items],
        [*one.inputs.ids, *other.inputs.ids],
        np.concatenate([one.inputs.digests, other.inputs.digests]),
    )
    targets = np.concatenate([one.targets, other.targets])
    return replace(one, inputs=inputs, targets=targets, groups=groups)
