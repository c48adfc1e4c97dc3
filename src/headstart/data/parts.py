"""From what was found to what a run may use: labelled, readable, split, and sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.compute.progress import Progress
from headstart.data.clean import survey
from headstart.data.dataset import Dataset, Splits, TestPart, Unlabelled
from headstart.data.infer import Form, parse
from headstart.data.raw import ALL, Examples, Quarantined, Raw, count, some
from headstart.data.split import holdout
from headstart.data.task import Task
from headstart.errors import DataError
from headstart.records import DataFacts, Sealed

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """Data ready for a run: the splits, what was found and said, and what cannot be read."""

    splits: Splits
    facts: DataFacts
    quarantine: list[Quarantined]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Surveyed examples of one part, with parsed target values."""

    inputs: Unlabelled
    values: list[Any]
    groups: np.ndarray | None

    def take(self, rows: np.ndarray) -> Part:
        groups = self.groups[rows] if self.groups is not None else None
        return Part(self.inputs.take(rows), [self.values[int(r)] for r in rows], groups)


def with_test_part(parts: dict[str, Examples], said: list[str]) -> dict[str, Examples]:
    """Let the validation part be the test part, where there is no other."""
    if ALL in parts and not len(parts[ALL]):
        raise DataError("There is no example with an input. Name another column with --input.")
    parts = {name: part for name, part in parts.items() if len(part)}
    if ALL in parts:
        return parts
    if "train" not in parts:
        raise DataError("There is no training example: the data has no train part.")
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        said.append(
            "There is no test part: the validation part is the sealed test, and validation is "
            "taken from the training data."
        )
    return parts


Parsed = dict[str, tuple[Examples, list[Any]]]


def labelled(raw: Raw, form: Form, said: list[str]) -> tuple[Parsed, int]:
    """Parse all targets and leave out the examples that have none."""
    kept: Parsed = {}
    without: list[str] = []
    total = 0
    for part, examples in raw.parts.items():
        values = parse(form, examples.cells, examples.ids)
        rows = [row for row, value in enumerate(values) if value is not None]
        without += [examples.ids[row] for row, value in enumerate(values) if value is None]
        total += len(values)
        if len(rows) < len(values):
            examples = examples.take(rows)
        kept[part] = (examples, [values[row] for row in rows])
        if not rows:
            raise DataError(
                f"No example of the {in_words(part)} part has a target in "
                f"{target_name(raw.target)!r}. Name another column with --target."
            )
    if without:
        verb = "has no target and is" if len(without) == 1 else "have no target and are"
        said.append(
            f"{count(len(without), 'example')} of {total:,} {verb} left out: {some(without)}."
        )
    return kept, len(without)


def surveyed(
    raw: Raw, parsed: Parsed, quarantine: list[Quarantined], progress: Progress
) -> dict[str, Part]:
    from headstart.data.modality import modality

    found: dict[str, Part] = {}
    for part, (examples, values) in parsed.items():
        seen = survey(examples.items, examples.ids, modality(raw.modality), progress=progress)
        quarantine += seen.quarantine
        groups = None
        if examples.groups is not None:
            groups = np.empty(len(examples), dtype=object)
            groups[:] = examples.groups
        kept = examples if len(seen.kept) == len(examples) else examples.take(seen.kept.tolist())
        found[part] = Part(
            Unlabelled(raw.modality, kept.items, kept.ids, seen.digests),
            [values[int(row)] for row in seen.kept],
            groups[seen.kept] if groups is not None else None,
        )
    return found


def nothing_lost(
    form: Form, parsed: Parsed, parts: dict[str, Part], quarantine: list[Quarantined]
) -> None:
    """Refuse data of which all, or a whole class, cannot be read."""
    for part, found in parts.items():
        if not len(found.inputs):
            raise DataError(
                f"No example of the {in_words(part)} part can be read. {first_reason(quarantine)}"
            )
        if form.shape == "single" and part in (ALL, "train"):
            gone = set(parsed[part][1]) - set(found.values)
            if gone:
                raise DataError(
                    f"No example of {some(map(repr, sorted(gone)))} can be read. "
                    f"{first_reason(quarantine)} Mend the files, or remove the class."
                )


def divided(
    whole: Part, targets: np.ndarray, labels: tuple[str, ...], seed: int, said: list[str]
) -> tuple[dict[str, Part], dict[str, np.ndarray]]:
    """Hold out a test part of data that have no split."""
    train, test = holdout(targets, labels, whole.groups, seed=seed)
    if whole.groups is not None:
        how = "whole groups"
    else:
        how = "stratified" if targets.dtype.kind == "i" else "spread evenly over the target"
    said.append(
        f"Split: the data has none, so {len(test):,} of {len(targets):,} examples are held out "
        f"as the sealed test ({how}, seed {seed})."
    )
    parts = {"train": whole.take(train), "test": whole.take(test)}
    return parts, {"train": targets[train], "test": targets[test]}


def sealed(
    raw: Raw,
    task: Task,
    parts: dict[str, Part],
    arrays: dict[str, np.ndarray],
    said: list[str],
    quarantine: list[Quarantined],
    unlabelled: int,
) -> Opened:
    """Build the datasets, take counts and fingerprint, and seal the test targets."""
    sets = {
        part: Dataset(raw.name, parts[part].inputs, arrays[part], task, parts[part].groups)
        for part in PARTS
        if part in parts
    }
    counts = {part: len(held) for part, held in sets.items()}
    classes: dict[str, dict[str, int]] = {}
    if task.name != "regression":
        classes = {part: _class_counts(held) for part, held in sets.items()}
    said += _crossing(sets)
    mixed = "".join(f"{part}:{held.fingerprint};" for part, held in sets.items())
    facts = DataFacts(
        name=raw.name,
        source=raw.source,
        modality=raw.modality,
        fingerprint=_hash(mixed),
        counts=counts,
        class_counts=classes,
        quarantined=len(quarantine),
        unlabelled=unlabelled,
        said=said,
    )
    test = sets["test"]
    sealed = TestPart(test.inputs, Sealed(test.targets), test.groups)
    splits = Splits(sets["train"], sets.get("validation"), sealed,
                    {"counts": counts, "class_counts": classes})  # fmt: skip
    return Opened(splits, facts, quarantine)


def _class_counts(data: Dataset) -> dict[str, int]:
    labels = data.task.labels
    if data.targets.ndim == 2:
        sizes = data.targets.sum(axis=0, dtype=np.int64)
    else:
        sizes = np.bincount(data.targets, minlength=len(labels))
    return dict(zip(labels, sizes.tolist(), strict=True))


def _crossing(sets: dict[str, Dataset]) -> list[str]:
    """Say which groups, and how many identical examples, stand on both sides of a test."""
    said: list[str] = []
    train, test = sets["train"], sets["test"]
    known = {row.tobytes() for row in train.inputs.digests}
    copies = sum(row.tobytes() in known for row in test.inputs.digests)
    if copies:
        what = "is an exact copy" if copies == 1 else "are exact copies"
        said.append(f"{count(copies, 'test example')} {what} of training examples.")
    if train.groups is not None and test.groups is not None:
        both = {str(g) for g in train.groups} & {str(g) for g in test.groups}
        if both:
            said.append(
                f"{count(len(both), 'group')} stand in both training and test part: "
                f"{some(sorted(both))}."
            )
    return said


def _hash(text: str) -> str:

    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def quarantine_words(quarantine: Sequence[Quarantined]) -> str:
    verb = "cannot be read and is" if len(quarantine) == 1 else "cannot be read and are"
    listed = some(f"{bad.id} ({bad.reason})" for bad in quarantine)
    return f"{count(len(quarantine), 'example')} {verb} in quarantine: {listed}."


def first_reason(quarantine: Sequence[Quarantined]) -> str:
    return f"First reason: {quarantine[0].id}: {quarantine[0].reason}." if quarantine else ""


def in_words(part: str) -> str:
    return "given" if part == ALL else part


def target_name(target: str | tuple[str, ...]) -> str:
    return target if isinstance(target, str) else ", ".join(target)
