"""The main job from end to end, small: three modalities, every form of split and task."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

import headstart.run as runs
from headstart.report.schema import FILE
from headstart.run import Run
from runs_for_tests import QUICK, events, reviews, run_quickly, tones, write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")

FILES = {"record.json", "recipe.toml", "report.html", "predictions.parquet", "quarantine.csv",
         "log.jsonl", "model", "examples.json"}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def photos(place: Path, one_core: None) -> tuple[Path, Run]:
    """Photos without parts of their own, one of them broken, and a run of all methods on them."""
    folder = write_photos(place / "photos", 10)
    (folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "README.md").write_text("about these photos")
    model = str(write_model(place / "vit", "vit"))
    run = run_quickly(folder, place / "run-photos", model=[model, "starter:glyphs"],
                      method="finetune")  # fmt: skip
    return folder, run


@pytest.fixture(scope="module")
def bert(place: Path) -> str:
    return str(write_model(place / "bert", "bert"))


def check_folder(run: Run) -> None:
    """What every finished RUN folder must fulfil."""
    assert {path.name for path in run.path.iterdir()} == FILES
    raw = json.loads((run.path / "record.json").read_text("utf-8"))
    jsonschema.validate(raw, json.loads(FILE.read_text("utf-8")))
    assert raw["status"] == "done"
    roles = [(r["role"], r["method"]) for r in raw["results"]]
    for wanted in [("candidate", "probe"), ("baseline", "majority"), ("baseline", "simple"),
                   ("baseline", "from scratch")]:  # fmt: skip
        assert wanted in roles
    names = [r["name"] for r in raw["results"]]
    assert len(set(names)) == len(names)
    assert raw["chosen"] in names and raw["verdict"]["against"] in names
    for result in raw["results"]:
        for metric, found in result["metrics"].items():
            assert np.isfinite(found["value"]), metric
            if found["low"] is not None:
                assert found["low"] <= found["value"] <= found["high"], metric
    table = pd.read_parquet(run.path / "predictions.parquet")
    assert len(table) == raw["data"]["counts"]["test"]
    assert {"id", "truth", "prediction"} <= set(table.columns)
    page = (run.path / "report.html").read_text("utf-8")
    assert raw["chosen"] in page and "http://" not in page.replace("http://www.w3.org", "")
    for path in run.path.rglob("*"):
        if path.is_file():
            assert path.suffix not in {".pkl", ".pt", ".bin", ".npz"}, path
            assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x04", b"PK"), path
            assert not path.name.endswith(".partial")
    assert [line["event"] for line in events(run.path)][-1] == "done"


def test_photos_from_end_to_end(photos: tuple[Path, Run]) -> None:
    folder, run = photos
    check_folder(run)
    record = run.record
    assert record.task == "classification" and record.labels == ["blue", "green", "red"]
    assert record.data.modality == "image"
    assert sum(record.data.counts.values()) == 30
    assert any("README.md" in sentence for sentence in record.data.said)
    quarantine = pd.read_csv(run.path / "quarantine.csv")
    assert list(quarantine.columns) == ["id", "reason"] and record.data.quarantined == 1
    assert quarantine["id"].tolist() == ["red/broken.jpg"]
    assert (folder / "red" / "broken.jpg").exists()
    methods = {result.method for result in record.results}
    assert methods == {"probe", "finetune", "majority", "simple", "from scratch"}
    probed = {str(r.model) for r in record.results if r.method == "probe"}
    assert "starter:glyphs" in probed and len(probed) == 2
    for result in record.results:
        assert set(result.seconds) & {"fit"} and "predict" in result.seconds
        assert set(result.metrics) >= {"accuracy", "f1_macro", "log_loss", "balanced_accuracy"}
        assert set(result.per_class) == {"blue", "green", "red"}


def test_metrics_are_those_of_the_predictions_on_disk(photos: tuple[Path, Run]) -> None:
    from sklearn.metrics import accuracy_score, log_loss

    _, run = photos
    table = pd.read_parquet(run.path / "predictions.parquet")
    for result in run.record.results:
        scores = np.stack(table[f"scores: {result.name}"])
        answers = np.asarray(run.record.labels)[scores.argmax(axis=1)]
        assert result.metrics["accuracy"].value == pytest.approx(
            accuracy_score(table["truth"], answers)
        )
        expected = log_loss(table["truth"], scores, labels=run.record.labels)
        assert result.metrics["log_loss"].value == pytest.approx(expected, rel=1e-3)
        if result.name == run.record.chosen:
            assert table["prediction"].tolist() == answers.tolist()


def test_a_moved_run_predicts_the_same_without_its_data(
    photos: tuple[Path, Run], tmp_path: Path
) -> None:
    folder, run = photos
    shutil.copytree(run.path, tmp_path / "elsewhere")
    kept = [tmp_path / "new" / f"{n}.jpg" for n in range(4)]
    kept[0].parent.mkdir()
    for number, path in enumerate(kept):
        shutil.copy(folder / "green" / f"{number}.jpg", path)
    before = run.predict([str(path) for path in kept])
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    try:
        moved = Run.open(tmp_path / "elsewhere")
        after = moved.predict([str(path) for path in kept])
        assert moved.report() == tmp_path / "elsewhere" / "report.html"
    finally:
        hidden.rename(folder)
    assert [p.answer for p in after] == [p.answer for p in before]
    for one, two in zip(before, after, strict=True):
        assert one.scores == pytest.approx(two.scores, abs=1e-6)
        assert sum(one.scores.values()) == pytest.approx(1, abs=1e-5)
        assert one.answer == max(one.scores, key=lambda name: one.scores[name])


def test_the_recipe_that_it_wrote_gives_the_run_again(
    photos: tuple[Path, Run], tmp_path: Path
) -> None:
    _, run = photos
    again = runs.cook(run.path / "recipe.toml", out=tmp_path / "again")
    assert metrics_of(again) == metrics_of(run)
    assert again.record.chosen == run.record.chosen
    one, two = (tomllib.loads((r.path / "recipe.toml").read_text()) for r in (run, again))
    assert one == two
    assert one["methods"]["finetune"]["epochs"] == QUICK["finetune"]["epochs"]


def metrics_of(run: Run) -> dict[str, float]:
    """Every number of the results by name: value and bounds on the test part, and validation."""
    found = {}
    for r in run.record.results:
        for name, measured in r.metrics.items():
            for part, value in measured.model_dump().items():
                if value is not None:
                    found[f"{r.name}/{name}/{part}"] = value
        found |= {f"{r.name}/validation/{name}": value for name, value in r.validation.items()}
    return found


def test_texts_with_a_test_set_of_their_own(place: Path, bert: str) -> None:
    texts, labels = reviews(60)
    frame = pd.DataFrame({"text": texts[:44], "label": labels[:44]})
    other = pd.DataFrame({"text": texts[44:], "label": labels[44:]})
    frame.to_csv(place / "train.csv", index=False)
    other.to_csv(place / "test.csv", index=False)
    run = run_quickly(place / "train.csv", place / "run-text", test=place / "test.csv", model=bert)
    check_folder(run)
    assert run.record.data.modality == "text"
    assert run.record.data.counts["test"] == 16
    chosen = run.record.result(str(run.record.chosen))
    assert chosen.metrics["accuracy"].value > 0.7  # TF-IDF sees the one word that tells
    assert [p.answer for p in run.predict(["the film was good", "a bad plot"])] == ["good", "bad"]
    found = run.evaluate(place / "test.csv")
    assert found.metrics["accuracy"].value == chosen.metrics["accuracy"].value


def test_texts_with_a_split_column_and_validation(place: Path, bert: str) -> None:
    texts, labels = reviews(60, seed=1)
    parts = ["train"] * 36 + ["validation"] * 12 + ["test"] * 12
    pd.DataFrame({"text": texts, "label": labels, "split": parts}).to_csv(
        place / "split.csv", index=False
    )
    run = run_quickly(place / "split.csv", place / "run-split", model=bert, method="finetune")
    check_folder(run)
    assert run.record.data.counts == {"train": 36, "validation": 12, "test": 12}


def test_audio_from_python_objects(place: Path) -> None:
    model = str(write_model(place / "wav2vec2", "wav2vec2"))
    run = run_quickly(tones(24), place / "run-audio", model=model)
    check_folder(run)
    assert run.record.data.modality == "audio"
    assert run.record.data.source == "python objects"
    clips, labels = tones(6, seed=9)
    assert {p.answer for p in run.predict(clips)} <= set(labels)


def test_many_labels_with_groups(place: Path, bert: str) -> None:
    texts, _ = reviews(60, seed=2)
    frame = pd.DataFrame({"text": texts})
    frame["good"] = [int("good" in text) for text in texts]
    frame["very"] = [int("very" in text) for text in texts]
    frame["who"] = np.arange(60) // 4
    run = run_quickly(frame, place / "run-many", target="good,very", group="who", model=bert)
    check_folder(run)
    assert run.record.task == "multi-label" and run.record.labels == ["good", "very"]
    table = pd.read_parquet(run.path / "predictions.parquet")
    scores = np.stack(table[f"scores: {run.record.chosen}"])
    for row in range(len(table)):
        expected = [n for n, s in zip(["good", "very"], scores[row], strict=True) if s >= 0.5]
        assert list(table["prediction"][row]) == expected


def test_regression(place: Path, bert: str) -> None:
    texts, _ = reviews(60, seed=3)
    frame = pd.DataFrame({"text": texts, "words": [10.5 * len(t.split()) + 0.25 for t in texts]})
    run = run_quickly(frame, place / "run-number", target="words", model=bert, method="finetune")
    check_folder(run)
    assert run.record.task == "regression"
    assert any(r.name == "mean" for r in run.record.results)
    table = pd.read_parquet(run.path / "predictions.parquet")
    chosen = run.record.result(str(run.record.chosen))
    error = np.abs(table["truth"] - table["prediction"]).mean()
    assert chosen.metrics["mae"].value == pytest.approx(error, rel=1e-4)
    one = run.predict(["the film is good"])[0]
    assert isinstance(one.answer, float) and one.scores == {}
