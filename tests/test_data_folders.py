"""Folders of files: classes, parts, tables of labels, and what does not belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.load import open_dataset, open_inputs, open_labelled
from headstart.errors import DataError, TooFewExamples


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()])
    Image.fromarray(pixels.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(path)
    return path


def classes(root: Path, number: int = 5, names: tuple[str, ...] = ("class10", "class9")) -> Path:
    for name in names:
        for i in range(number):
            picture(root / name / f"{i}.png", seed=len(name))
    return root


def test_class_folders(tmp_path: Path) -> None:
    root = classes(tmp_path / "data", 10)
    picture(root / "class9" / "deep" / "er.png")
    (root / "README.md").write_text("about")
    (root / ".DS_Store").write_text("x")
    (root / "class9" / "notes.txt").write_text("x")
    (root / ".git").mkdir()
    opened = open_dataset(root)
    assert opened.splits.train.task.labels == ("class9", "class10")  # naturally sorted
    assert opened.facts.counts == {"train": 17, "test": 4}
    assert opened.facts.class_counts["test"] == {"class9": 2, "class10": 2}
    assert opened.facts.modality == "image"
    ids = [*opened.splits.train.inputs.ids, *opened.splits.test.inputs.ids]
    assert "class9/deep/er.png" in ids
    said = " ".join(opened.facts.said)
    assert "Passed over 3 files" in said  # .DS_Store too
    assert "README.md" in said
    assert "notes.txt" in said


def test_the_test_targets_stand_in_the_seal_only(tmp_path: Path) -> None:
    opened = open_dataset(classes(tmp_path / "data", 10))
    test = opened.splits.test
    targets = test.targets.open()
    names = [("class9", "class10")[t] for t in targets]
    assert names == [str(i).split("/")[0] for i in test.inputs.ids]


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "DEV", "Testing")])
def test_parts(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name, number in zip(names, (4, 2, 3), strict=True):
        classes(tmp_path / "data" / name, number)
    opened = open_dataset(tmp_path / "data")
    assert opened.facts.counts == {"train": 8, "validation": 4, "test": 6}
    assert opened.splits.test.inputs.ids[0] == f"{names[2]}/class9/0.png"


def test_validation_becomes_the_test_where_there_is_no_other(tmp_path: Path) -> None:
    classes(tmp_path / "data" / "train", 4)
    classes(tmp_path / "data" / "val", 2)
    opened = open_dataset(tmp_path / "data")
    assert opened.facts.counts == {"train": 8, "test": 4}
    assert opened.splits.validation is None
    assert any("validation part is the sealed test" in line for line in opened.facts.said)


def test_a_single_training_example_is_enough_beside_an_own_test(tmp_path: Path) -> None:
    classes(tmp_path / "data" / "train", 1)
    classes(tmp_path / "data" / "test", 2)
    assert open_dataset(tmp_path / "data").facts.counts == {"train": 2, "test": 4}


def test_labels_that_training_never_showed(tmp_path: Path) -> None:
    classes(tmp_path / "data" / "train", 2)
    classes(tmp_path / "data" / "test", 2, ("class9", "newcomer"))
    with pytest.raises(DataError, match=r"test part has labels .*'newcomer'"):
        open_dataset(tmp_path / "data")


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(tmp_path / "none")
    with pytest.raises(TooFewExamples, match=r"one class only, 'images'.*point there"):
        open_dataset(classes(tmp_path / "nested" / "images").parent)
    classes(tmp_path / "testonly" / "test")
    with pytest.raises(DataError, match="training data is missing"):
        open_dataset(tmp_path / "testonly")
    picture(tmp_path / "loose" / "a.png")
    with pytest.raises(DataError, match="without labels"):
        open_dataset(tmp_path / "loose")
    root = classes(tmp_path / "single")
    picture(root / "rare" / "only.png")
    with pytest.raises(TooFewExamples, match="'rare' has a single example"):
        open_dataset(root)
    classes(tmp_path / "twice" / "train")
    classes(tmp_path / "twice" / "val")
    classes(tmp_path / "twice" / "dev")
    with pytest.raises(DataError, match=r"both 'dev' and 'val'"):
        open_dataset(tmp_path / "twice")


def test_unreadable_files_go_to_quarantine_and_stay_on_disk(tmp_path: Path) -> None:
    root = classes(tmp_path / "data", 6)
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    cut = root / "class9" / "cut.jpg"
    Image.fromarray(noise).save(cut, quality=95)
    cut.write_bytes(cut.read_bytes()[:-5000])
    (root / "class9" / "zero.png").write_bytes(b"")
    (root / "class10" / "fake.png").write_text("no image")
    opened = open_dataset(root)
    reasons = {q.id: q.reason for q in opened.quarantine}
    assert set(reasons) == {"class9/cut.jpg", "class9/zero.png", "class10/fake.png"}
    assert all(reasons.values())
    assert opened.facts.quarantined == 3
    assert sum(opened.facts.counts.values()) == 12
    assert cut.exists()


def test_a_wholly_unreadable_class_is_an_error(tmp_path: Path) -> None:
    root = classes(tmp_path / "data")
    (root / "class11").mkdir()
    for i in range(3):
        (root / "class11" / f"{i}.png").write_text("broken")
    with pytest.raises(DataError, match="No example of 'class11' can be read"):
        open_dataset(root)


def test_the_commonest_modality_wins(tmp_path: Path) -> None:
    root = classes(tmp_path / "data")
    (root / "class9" / "caption.txt").write_text("words")
    (root / "class9" / "sound.wav").write_bytes(b"RIFF")
    opened = open_dataset(root)
    assert sum(opened.facts.counts.values()) == 10
    assert any("caption.txt" in line and "sound.wav" in line for line in opened.facts.said)


def test_text_files_in_class_folders(tmp_path: Path) -> None:
    for name in ("neg", "pos"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "data" / name / f"{i}.txt").write_bytes(f"{name} é {i}".encode("latin-1"))
    with pytest.raises(DataError, match=r"not utf-8.*--encoding"):
        open_dataset(tmp_path / "data")
    opened = open_dataset(tmp_path / "data", encoding="latin-1")
    assert opened.facts.modality == "text"
    assert "é" in str(opened.splits.train.inputs.items[0])


def test_labels_table_beside_the_files(tmp_path: Path) -> None:
    root = classes(tmp_path / "data")
    paths = sorted(p.relative_to(root) for p in root.rglob("*.png"))
    rows = [f"{p},{0.5 * i}" for i, p in enumerate(paths)]
    (root / "labels.csv").write_text("file,price\n" + "\n".join([*rows, "gone.png,3.5"]) + "\n")
    opened = open_dataset(root)
    assert opened.splits.train.task.name == "regression"
    assert opened.splits.train.task.labels == ("price",)
    assert [(q.id, q.reason) for q in opened.quarantine] == [("gone.png", "file does not exist")]
    both = {**dict(zip(opened.splits.train.inputs.ids, opened.splits.train.targets, strict=True)),
            **dict(zip(opened.splits.test.inputs.ids, opened.splits.test.targets.open(),
                       strict=True))}  # fmt: skip
    assert both == {str(p): 0.5 * i for i, p in enumerate(paths)}


@pytest.mark.parametrize("bad", ["../secret.png", "/etc/secret.png", "a/../../secret.png"])
def test_paths_may_not_leave_the_folder(tmp_path: Path, bad: str) -> None:
    root = classes(tmp_path / "data")
    rows = "".join(f"class9/{i}.png,{i % 2}\n" for i in range(5))
    (root / "labels.csv").write_text(f"file,label\n{rows}{bad},1\n")
    picture(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"labels.csv, line 7: the path .* leads outside.*--root"):
        open_dataset(root)


def test_another_base_folder(tmp_path: Path) -> None:
    root = classes(tmp_path / "elsewhere")
    table = tmp_path / "lists" / "all.csv"
    table.parent.mkdir()
    rows = [f"{name}/{i}.png,{name}" for name in ("class9", "class10") for i in range(5)]
    table.write_text("path,label\n" + "\n".join(rows))
    assert open_dataset(table, root=root).facts.counts == {"train": 8, "test": 2}
    with pytest.raises(DataError, match=r"None of the 10 files .* exists.*--root"):
        open_dataset(table)


def test_tables_inside_the_parts(tmp_path: Path) -> None:
    for part, number in (("train", 6), ("test", 4)):
        folder = tmp_path / "data" / part
        for i in range(number):
            picture(folder / f"{i}.png")
        rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(number))
        (folder / "metadata.csv").write_text("file_name,label\n" + rows)
    opened = open_dataset(tmp_path / "data")
    assert opened.facts.counts == {"train": 6, "test": 4}
    assert opened.splits.test.inputs.ids[0] == "test/0.png"


def test_one_table_a_part(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for stem, number in (("train", 8), ("dev", 4), ("test", 6)):
        rows = "".join(f"{stem} words {i}\t{i % 2}\n" for i in range(number))
        (root / f"{stem}.tsv").write_text("text\tlabel\n" + rows)
    opened = open_dataset(root)
    assert opened.facts.counts == {"train": 8, "validation": 4, "test": 6}
    assert opened.splits.test.inputs.ids[0] == "test.tsv row 1"


def test_other_data_as_the_test(tmp_path: Path) -> None:
    one, two = classes(tmp_path / "one"), classes(tmp_path / "two", 3)
    opened = open_dataset(one, test=two)
    assert opened.facts.counts == {"train": 10, "test": 6}
    assert any("Test: " in line for line in opened.facts.said)


def test_an_empty_input_is_not_the_folder_we_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.txt").write_text("not asked for", "utf-8")
    monkeypatch.chdir(tmp_path)
    found, bad = open_inputs(["a sentence", ""], modality="text")
    assert found.ids == ["input 1"] and [one.id for one in bad] == ["input 2"]
    with pytest.raises(DataError, match="Input 1 is empty"):
        open_inputs([""], modality="image")


def test_predict_inputs(tmp_path: Path) -> None:
    root = classes(tmp_path / "data")
    (root / "class9" / "0.png").write_text("broken")
    found, bad = open_inputs([root / "class9", str(root / "class10" / "1.png")], modality="image")
    assert len(found) == 5
    assert [q.id for q in bad] == [str(root / "class9" / "0.png")]
    with pytest.raises(DataError, match="does not exist"):
        open_inputs([tmp_path / "none.png"], modality="image")
    table = tmp_path / "in.csv"
    table.write_text("text\nhello, you\nbye\n")
    texts, _ = open_inputs(["A sentence. Two!", str(table)], modality="text")
    assert list(texts.items) == ["A sentence. Two!", "hello, you", "bye"]
    with pytest.raises(DataError, match="does not exist"):
        open_inputs(["nowhere.csv"], modality="text")


def test_evaluate_data(tmp_path: Path) -> None:
    task = open_dataset(classes(tmp_path / "data")).splits.train.task
    again, _, said = open_labelled(tmp_path / "data", task, "image")
    assert len(again) == 10
    assert [task.labels[t] for t in again.targets] == [str(i).split("/")[0] for i in
                                                       again.inputs.ids]  # fmt: skip
    for part, number in (("train", 3), ("test", 2)):
        classes(tmp_path / "parts" / part, number)
    held, _, said = open_labelled(tmp_path / "parts", task, "image")
    assert len(held) == 4
    assert any("its test part is used" in line for line in said)
    classes(tmp_path / "new", 2, ("class9", "stranger"))
    with pytest.raises(DataError, match="'stranger'"):
        open_labelled(tmp_path / "new", task, "image")
