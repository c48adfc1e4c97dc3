"""Python objects as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data.load import open_dataset, open_inputs
from headstart.errors import DataError

TEXTS = [f"text number {i}" for i in range(20)]
LABELS = ["ab"[i % 2] for i in range(20)]


@pytest.mark.parametrize(
    "data",
    [
        (TEXTS, LABELS),
        (np.array(TEXTS), np.array(LABELS)),
        (pd.Series(TEXTS), pd.Series(LABELS)),
        pd.DataFrame({"text": TEXTS, "label": LABELS}),
        pd.DataFrame({"text": TEXTS, "label": pd.Categorical(LABELS)}, index=range(50, 70)),
        {"text": TEXTS, "label": LABELS},
        {"text": np.array(TEXTS), "label": tuple(LABELS)},
        [{"text": t, "label": c} for t, c in zip(TEXTS, LABELS, strict=True)],
    ],
)
def test_all_forms_of_texts_agree(data: Any) -> None:
    opened = open_dataset(data)
    reference = open_dataset(TEXTS, target=LABELS)
    assert opened.facts.fingerprint == reference.facts.fingerprint
    assert opened.splits.train.inputs.ids == reference.splits.train.inputs.ids
    assert opened.facts.source == "python objects"


def test_image_arrays() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    one = open_dataset((pixels, np.arange(20) % 2))
    two = open_dataset(([*pixels], [i % 2 for i in range(20)]))
    three = open_dataset(pixels[..., None], target=np.arange(20)[:, None] % 2)
    assert one.facts.fingerprint == two.facts.fingerprint == three.facts.fingerprint
    assert isinstance(one.splits.train.inputs.items, np.ndarray)
    assert one.facts.modality == "image"
    row = int(one.splits.train.inputs.ids[3].split()[1]) - 1
    assert np.array_equal(one.splits.train.inputs.items[3], pixels[row])
    assert one.splits.train.targets[3] == row % 2


def test_floats_of_scikit_learns_digits_are_scaled_and_said() -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (20, 8, 8)).astype(float)
    pixels[0, 0, 0] = 16
    opened = open_dataset((pixels, np.arange(20) % 2))
    assert any("0 to 16 were scaled" in line for line in opened.facts.said)
    with pytest.raises(DataError, match=r"shape .20, 64. is no stack of images"):
        open_dataset((pixels.reshape(20, 64), np.arange(20) % 2))


def test_pictures_and_waveforms_in_lists_and_columns() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (9, 9), dtype=np.uint8)) for _ in range(8)]
    opened = open_dataset({"image": pictures, "label": LABELS[:8], "split": ["train"] * 5 +
                           ["test"] * 3})  # fmt: skip
    assert opened.facts.counts == {"train": 5, "test": 3}
    assert opened.splits.train.inputs.items[0].shape == (9, 9, 3)
    assert opened.splits.test.inputs.ids == ["row 6", "row 7", "row 8"]


def test_waveforms() -> None:
    rng = np.random.default_rng(0)
    clips = [(rng.normal(0, 0.1, 4000).astype(np.float32), 8000) for _ in range(8)]
    opened = open_dataset((clips, LABELS[:8]))
    assert opened.facts.modality == "audio"
    assert opened.facts.counts == {"train": 6, "test": 2}
    found, _ = open_inputs(clips, modality="audio")
    assert len(found) == 8


def test_paths_in_objects_may_lie_anywhere(tmp_path: Path) -> None:
    for i in range(8):
        Image.new("RGB", (9, 9), (i * 30, 0, 0)).save(tmp_path / f"{i}.png")
    absolute = [str(tmp_path / f"{i}.png") for i in range(8)]
    opened = open_dataset(pd.DataFrame({"path": absolute, "y": LABELS[:8]}))
    below = open_dataset(([f"{i}.png" for i in range(8)], LABELS[:8]), root=tmp_path)
    assert opened.facts.fingerprint == below.facts.fingerprint
    missing = open_dataset(([*map(Path, absolute), Path("gone.png")], LABELS[:9]))
    assert [(q.id, q.reason) for q in missing.quarantine] == [("gone.png", "file does not exist")]


def test_missing_targets_of_every_kind() -> None:
    labels = [None, float("nan"), "", pd.NA, pd.NaT, np.nan, *LABELS[6:]]
    assert open_dataset((TEXTS, labels)).facts.unlabelled == 6
    numbers = pd.DataFrame({"text": TEXTS, "price": [np.nan, *np.linspace(0.5, 7, 19)]})
    opened = open_dataset(numbers)
    assert opened.facts.unlabelled == 1
    assert opened.splits.train.task.name == "regression"


def test_group_values_and_group_columns() -> None:
    groups = [i // 4 for i in range(20)]
    values = open_dataset((TEXTS, LABELS), group=groups)
    column = open_dataset({"text": TEXTS, "label": LABELS, "who": groups}, group="who")
    assert values.facts.fingerprint == column.facts.fingerprint
    train, test = values.splits.train.groups, values.splits.test.groups
    assert train is not None
    assert test is not None
    assert not set(train) & set(test)


def test_parts_as_a_dict() -> None:
    opened = open_dataset({"train": (TEXTS[:12], LABELS[:12]), "test": (TEXTS[12:], LABELS[12:])})
    assert opened.facts.counts == {"train": 12, "test": 8}


def test_npz(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=pixels, y=np.arange(20) % 2)
    opened = open_dataset(tmp_path / "d.npz")
    assert opened.facts.fingerprint == open_dataset((pixels, np.arange(20) % 2)).facts.fingerprint
    np.savez(tmp_path / "p.npz", x=np.array([{}, []], dtype=object), y=np.arange(2))
    with pytest.raises(DataError, match=r"cannot be read as .npz"):
        open_dataset(tmp_path / "p.npz")
    np.savez(tmp_path / "q.npz", z=pixels)
    with pytest.raises(DataError, match="holds z; arrays called x and y"):
        open_dataset(tmp_path / "q.npz")


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ((TEXTS, LABELS[:3]), {}, "20 inputs and 3 targets"),
        (TEXTS, {}, "No targets"),
        ({"text": TEXTS, "label": LABELS[:3]}, {}, "differ in length"),
        (([1, 2], ["a", "b"]), {}, "type int"),
        (pd.DataFrame({"text": [], "label": []}), {}, "no rows"),
        (([], []), {}, "no inputs"),
    ],
)
def test_refusals(data: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_dataset(data, **options)
