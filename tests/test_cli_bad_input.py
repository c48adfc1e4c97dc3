"""Bad input: one line that says what is wrong and what to do, exit code 2, nothing half-written."""

from __future__ import annotations

import csv
import json
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.cli import main
from runs_for_tests import reviews, tones, write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")
Fails = Callable[..., str]


@pytest.fixture
def fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Fails:
    """Call `headstart ARGUMENTS`, expect exit code 2 and one line; return the line."""

    def call(*arguments: object, command: str = "transfer") -> str:
        monkeypatch.chdir(tmp_path)
        given = ["--json", "--out", "RUN"] if command == "transfer" else []
        monkeypatch.setattr(sys, "argv", ["headstart", command, *map(str, arguments), *given])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert stop.value.code == 2, err
        assert out == ""
        assert len(err.splitlines()) == 1 and err.startswith("headstart: "), err
        assert not (tmp_path / "RUN").exists() and not (tmp_path / "runs").exists()
        return err

    return call


def write_csv(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def table(path: Path, count: int = 24) -> Path:
    return write_csv(path, [["text", "label"], *map(list, zip(*reviews(count), strict=True))])


def test_an_empty_folder(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert "empty" in fails("data")


def test_absent_data(fails: Fails) -> None:
    assert "no/such" in fails("no/such")
    assert "DATA is missing" in fails()


def test_a_folder_without_examples(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text("nothing here")
    assert "data" in fails("data")


def test_one_class_only(fails: Fails, tmp_path: Path) -> None:
    write_photos(tmp_path / "data", 5, colours=1)
    assert "red" in fails("data")


def test_a_class_with_one_example(fails: Fails, tmp_path: Path) -> None:
    write_photos(tmp_path / "data", 5)
    for path in list((tmp_path / "data" / "blue").iterdir())[1:]:
        path.unlink()
    assert "blue" in fails("data")


def test_all_pictures_broken(fails: Fails, tmp_path: Path) -> None:
    write_photos(tmp_path / "data", 4)
    for path in (tmp_path / "data").rglob("*.jpg"):
        path.write_bytes(b"")
    found = fails("data")
    assert "0.jpg" in found and "zero bytes" in found


def test_csv_without_a_header(fails: Fails, tmp_path: Path) -> None:
    rows = list(map(list, zip(*reviews(20), strict=True)))
    write_csv(tmp_path / "t.csv", rows)
    assert "header" in fails("t.csv")


def test_ragged_csv(fails: Fails, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], lines[5] + ",one,too,many", *lines[6:]]))
    found = fails("t.csv")
    assert "t.csv" in found and "6" in found  # the line


def test_text_in_another_encoding(fails: Fails, tmp_path: Path) -> None:
    lines = ["text,label", *(f"caf\xe9 num\xe9ro {n},{'ab'[n % 2]}" for n in range(20))]
    (tmp_path / "t.csv").write_bytes("\n".join(lines).encode("latin-1"))
    assert "--encoding" in fails("t.csv")


def test_a_path_that_leaves_the_data_folder(fails: Fails, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data" / "files", 4).parent
    names = [[str(p.relative_to(folder)), p.parent.name] for p in folder.rglob("*.jpg")]
    write_photos(tmp_path / "secret", 1)
    names[3][0] = "../secret/red/0.jpg"
    write_csv(folder / "labels.csv", [["file", "label"], *names])
    assert "../secret" in fails("data")


@pytest.mark.parametrize("value", ["inf", "-inf"])
def test_targets_that_are_no_numbers(fails: Fails, tmp_path: Path, value: str) -> None:
    texts = reviews(30)[0]
    rows = [[text, str(n * 1.37)] for n, text in enumerate(texts)]
    rows[7][1] = value
    write_csv(tmp_path / "t.csv", [["text", "y"], *rows])
    assert "inf" in fails("t.csv", "--target", "y", "--task", "regression")


def test_unknown_names(fails: Fails, tmp_path: Path) -> None:
    table(tmp_path / "t.csv")
    assert "probe" in fails("t.csv", "--method", "magic")
    assert "regression" in fails("t.csv", "--task", "magic")
    assert "label" in fails("t.csv", "--target", "nothing")
    assert "label" in fails("t.csv", "--input", "nothing")
    assert "audio" in fails("t.csv", "--modality", "smell")
    assert "90s" in fails("t.csv", "--budget", "soon")
    assert "starter:minilm" in fails("t.csv", "--model", "starter:nothing")
    assert "no/model" in fails("t.csv", "--model", "./no/model")


def test_models_that_cannot_be_used(fails: Fails, tmp_path: Path) -> None:
    table(tmp_path / "t.csv")
    bert = write_model(tmp_path / "bert", "bert")
    (bert / "model.safetensors").rename(tmp_path / "weights")
    assert "weights" in fails("t.csv", "--model", bert)
    (bert / "pytorch_model.bin").write_bytes(b"\x80\x02garbage")
    found = fails("t.csv", "--model", bert)
    assert "pickle" in found and "--allow-pickle" in found
    assert "takes image" in fails("t.csv", "--model", "starter:glyphs")


def test_a_run_folder_that_exists_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "data", 4)
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "mine.txt").write_text("precious")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["headstart", "transfer", "data", "--json", "--out", "RUN"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "exists already" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "RUN").iterdir()] == ["mine.txt"]


def test_runs_that_are_none(fails: Fails, tmp_path: Path) -> None:
    assert "RUN folder" in fails(tmp_path, "some text", command="predict")
    assert "RUN folder" in fails(tmp_path, tmp_path, command="evaluate")
    assert "RUN folder" in fails(tmp_path, command="report")
    (tmp_path / "record.json").write_text("{")
    assert "JSON" in fails(tmp_path, command="report")
    (tmp_path / "record.json").write_text('{"schema": 99}')
    assert "Upgrade" in fails(tmp_path, command="report")


# What does not stop a run: it is told, counted and put into quarantine.


def png_bomb() -> bytes:
    """A valid head of a picture of 100000 by 100000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def opened(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
           ) -> dict[str, object]:  # fmt: skip
    """Run a probe through the command line with `--json`; return the record."""
    import headstart.run.walk as walking
    from runs_for_tests import QUICK

    real = walking.start
    monkeypatch.setattr(
        walking, "start",
        lambda recipe, *a, **k: real(recipe.model_copy(update={"methods": QUICK}), *a, **k),
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["headstart", "transfer", *arguments, "--json"])
    capsys.readouterr()
    main_ok()
    out, err = capsys.readouterr()
    assert err == "", "--json prints nothing else"
    found: dict[str, object] = json.loads(out)
    return found


def main_ok() -> None:
    try:
        main()
    except SystemExit as stop:
        assert not stop.code


def test_bad_pictures_go_to_quarantine_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_photos(tmp_path / "data", 8)
    good = (folder / "red" / "0.jpg").read_bytes()
    bad = {"empty.jpg": b"", "cut.jpg": good[: len(good) // 2], "bomb.png": png_bomb(),
           "text.jpg": b"this is a text", "page.png": b"<html></html>"}  # fmt: skip
    for name, content in bad.items():
        (folder / "red" / name).write_bytes(content)
    (folder / "red" / "jpeg-called.png").write_bytes(good)  # content counts, not the name
    run = tmp_path / "RUN"
    record = opened(capsys, monkeypatch, str(folder), "--out", str(run), "--method", "probe")
    rows = list(csv.DictReader((run / "quarantine.csv").open()))
    assert {row["id"] for row in rows} == {f"red/{name}" for name in bad}
    assert all(row["reason"] for row in rows)
    facts = record["data"]
    assert isinstance(facts, dict)
    assert facts["quarantined"] == 5 and sum(facts["counts"].values()) == 25
    assert all((folder / "red" / name).read_bytes() == content for name, content in bad.items())


def test_bad_sound_goes_to_quarantine_and_eight_channels_are_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    clips, labels = tones(20)
    for number, ((wave, rate), label) in enumerate(zip(clips, labels, strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        many = np.tile(wave[:, None], (1, 8)) if number == 0 else wave
        soundfile.write(tmp_path / "data" / label / f"{number}.wav", many, rate)
    soundfile.write(tmp_path / "data" / "low" / "silent.wav", np.zeros(8000), 16000)
    (tmp_path / "data" / "low" / "broken.wav").write_bytes(b"RIFF....WAVEjunk")
    (tmp_path / "data" / "high" / "empty.wav").write_bytes(b"")
    model = write_model(tmp_path / "ast", "ast")
    run = tmp_path / "RUN"
    record = opened(capsys, monkeypatch, str(tmp_path / "data"), "--model", str(model),
                    "--out", str(run), "--method", "probe")  # fmt: skip
    ids = {row["id"] for row in csv.DictReader((run / "quarantine.csv").open())}
    assert {"low/broken.wav", "high/empty.wav"} <= ids
    assert "low/0.wav" not in ids
    facts = record["data"]
    assert isinstance(facts, dict)
    assert sum(facts["counts"].values()) == 23 - len(ids)


def test_rows_without_labels_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = reviews(40)
    rows: list[list[object]] = [[t, "" if n % 8 == 0 else y] for n, (t, y) in
                                enumerate(zip(texts, labels, strict=True))]  # fmt: skip
    write_csv(tmp_path / "t.csv", [["text", "label"], *rows])
    model = write_model(tmp_path / "bert", "bert")
    record = opened(capsys, monkeypatch, str(tmp_path / "t.csv"), "--model", str(model),
                    "--out", str(tmp_path / "RUN"))  # fmt: skip
    facts = record["data"]
    assert isinstance(facts, dict)
    assert facts["unlabelled"] == 5 and sum(facts["counts"].values()) == 35
    assert any("5" in said and "no target" in said for said in facts["said"]), facts["said"]


# --- settings of fine-tuning --------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    write_photos(folder, 60)
    return folder


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("depth=block.99", "no stage 'block.99'; there are stem, block.0, block.1"),
        ("depth=40", "40 blocks shall move, but starter:glyphs has 3"),
        ("augment=synonyms", "'synonyms' is for text, and the data is image; for image there are"),
        ("rate=0", "FineTune.rate must be a number > 0"),
    ],
)
def test_a_setting_that_cannot_be(fails: Fails, digits: Path, setting: str, said: str) -> None:
    assert said in fails(
        digits, "--model", "starter:glyphs", "--method", "finetune", "--set", f"finetune.{setting}"
    )


def run(
    folder: Path, out: Path, setting: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Fine-tune with a setting; return the exit code and what was said."""
    words = ["headstart", "transfer", str(folder), "--model", "starter:glyphs", "--budget", "8s",
             "--method", "finetune", "--set", f"finetune.{setting}", "--out", str(out)]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, capsys.readouterr().err


def test_lora_where_no_layer_is(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    code, said = run(digits, tmp_path / "RUN", 'techniques=["lora:where=nothing"]', capsys)
    assert code == 2 and "finds no layer for where='nothing'" in said.splitlines()[-1]
    assert "layer.0.convolution1" in said.splitlines()[-1]


def test_a_rate_that_diverges_keeps_the_best_before(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(digits, tmp_path / "RUN", "rate=1e9", capsys)
    assert code == 0 and "diverged at step" in said and "the best state before is kept" in said
    record = json.loads((tmp_path / "RUN" / "record.json").read_text())
    assert record["status"] == "done"


def test_a_batch_larger_than_the_data_is_cut(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(digits, tmp_path / "RUN", "batch=100000", capsys)
    assert code == 0 and "there are no more to train on" in said
