"""`headstart rank` and its Python function on bad input: one clear line, or skipped and named."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.cli import main
from headstart.errors import DataError, ModelError, TooFewExamples
from headstart.run.ranking import rank
from runs_for_tests import write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")
GLYPHS = "starter:glyphs"


def ranked(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | str | None:
    """Call the command; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["headstart", "rank", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> str:
    """Return the one line that the command ends with, exit code 2."""
    code = ranked(monkeypatch, *arguments, "--json")
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert code == 2 and not out and last.startswith("headstart: "), err
    assert "Traceback" not in err
    return last


def pictures(folder: Path, labels: list[object]) -> Path:
    """Write pictures of noise and a table of them with these targets."""
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", "label"])
        for at, label in enumerate(labels):
            pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{at}.png")
            rows.writerow([f"{at}.png", label])
    return folder / "data.csv"


def spoiled(folder: Path) -> str:
    """Write a model all whose features are NaN."""
    from safetensors.numpy import load_file, save_file

    write_model(folder, "convnext")
    weights = load_file(folder / "model.safetensors")
    weights["layernorm.weight"][:] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def test_models_that_cannot_be_ranked_are_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "photos", 16)
    text = str(write_model(tmp_path / "text", "bert"))
    (tmp_path / "empty").mkdir()
    absent, empty, nan = str(tmp_path / "no"), str(tmp_path / "empty"), spoiled(tmp_path / "nan")
    models = ",".join([text, absent, empty, nan, GLYPHS])
    assert ranked(monkeypatch, photos, "--models", models, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["model"] for one in found["models"]] == [GLYPHS]
    reasons = {one["model"]: one["reason"] for one in found["skipped"]}
    assert reasons[text] == "it takes text, the data is image"
    assert "does not exist" in reasons[absent]
    assert "config.json" in reasons[empty]
    assert "NaN" in reasons[nan]
    assert ranked(monkeypatch, photos, "--models", f"{text},{GLYPHS}") == 0
    assert f"Skipped: {text}: it takes text" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "said"),
    [("bert", "it takes text, the data is image"), ("nan", "NaN"), ("none", "does not exist")],
)
def test_where_no_model_is_left_the_reason_is_said(
    kind: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    photos = write_photos(tmp_path / "photos", 16)
    folder = tmp_path / kind
    if kind == "bert":
        write_model(folder, "bert")
    elif kind == "nan":
        spoiled(folder)
    line = refused(monkeypatch, capsys, photos, "--models", folder)
    assert "None of 1 models can be ranked" in line and said in line
    with pytest.raises(ModelError, match="None of 1 models can be ranked"):
        rank(photos, str(folder))


@pytest.mark.parametrize(
    ("labels", "task", "kind", "said"),
    [
        (["cat"] * 20, "classification", TooFewExamples, "class"),
        ([f"kind {at}" for at in range(20)], "classification", TooFewExamples, "class"),
        ([2.5] * 20, "regression", DataError, "nothing to predict"),
    ],
    ids=["one class", "as many classes as examples", "no spread"],
)
def test_targets_that_say_nothing(
    labels: list[object], task: str, kind: type[Exception], said: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = pictures(tmp_path / "data", labels)
    options = ("--input", "image", "--target", "label", "--task", task, "--models", GLYPHS)
    assert said in refused(monkeypatch, capsys, data, *options)
    with pytest.raises(kind):
        rank(data, GLYPHS, input="image", target="label", task=task)


@pytest.mark.parametrize(
    ("option", "words"),
    [(("--scores", "knn,foo"), "Unknown score 'foo'"), (("--pooling", "max"), "own, layers")],
)
def test_what_no_data_can_make_right_is_refused_before_any_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    option: tuple[str, str], words: str,
) -> None:  # fmt: skip
    line = refused(monkeypatch, capsys, "/no/such/data", "--models", GLYPHS, *option)
    assert words in line and "/no/such/data" not in line


def test_layers_are_pooled_of_texts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "photos", 8)
    line = refused(monkeypatch, capsys, photos, "--models", GLYPHS, "--pooling", "layers")
    assert "--pooling layers is for texts, the data is image" in line
