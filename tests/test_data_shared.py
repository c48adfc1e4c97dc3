"""The real data sets in ../shared: counts as their READMEs state them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.data.load import open_dataset

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("name", "options", "modality", "counts", "labels"),
    [
        ("clothing_small", {}, "image", {"train": 1192, "validation": 282, "test": 293}, 10),
        ("hymenoptera", {}, "image", {"train": 244, "test": 153}, 2),
        ("blood_cells", {}, "image", {"train": 763, "validation": 305, "test": 258}, 3),
        ("sst2", {}, "text", {"train": 6920, "validation": 872, "test": 1821}, 2),
        ("trec", {}, "text", {"train": 5452, "test": 500}, 6),
        # 3020 rows, of which 4 texts are empty.
        ("customer_reviews", {}, "text", {"train": 3016, "test": 755}, 2),
        ("go_emotions", {"input": "0", "target": "1"}, "text",
         {"train": 15000, "validation": 5426, "test": 5427}, 28),
        ("sms_spam", {"input": "1", "target": "0"}, "text", {"train": 4459, "test": 1115}, 2),
        ("amazon_reviews/books.tsv", {}, "text", {"train": 1600, "test": 400}, 2),
        ("instruments", {}, "audio", {"train": 240, "test": 60}, 10),
        ("digits/mnist_train.npz", {}, "image", {"train": 16000, "test": 4000}, 10),
    ],
)  # fmt: skip
def test_real_sets(
    shared: Path,
    name: str,
    options: dict[str, Any],
    modality: str,
    counts: dict[str, int],
    labels: int,
) -> None:
    opened = open_dataset(shared / "data" / name, **options)
    assert opened.facts.modality == modality
    assert opened.facts.counts == counts
    assert len(opened.splits.train.task.labels) == labels


def test_spoken_digits_through_a_data_frame(shared: Path) -> None:
    import pandas as pd

    folder = shared / "data" / "fsdd" / "recordings"
    names = sorted(path.name for path in folder.glob("*.flac"))[::7]
    parts = [name.removesuffix(".flac").split("_") for name in names]
    frame = pd.DataFrame({
        "path": names,
        "digit": [int(digit) for digit, _, _ in parts],
        "speaker": [speaker for _, speaker, _ in parts],
        "split": ["test" if int(index) < 5 else "train" for _, _, index in parts],
    })  # fmt: skip
    opened = open_dataset(frame, root=folder)
    assert opened.facts.counts["test"] == sum(frame["split"] == "test")
    assert opened.splits.train.task.labels == tuple("0123456789")
