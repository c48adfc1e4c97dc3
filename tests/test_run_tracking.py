"""What trackers are told is what the record says; they are told it without any network."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import headstart
from headstart.cli import app
from headstart.errors import MissingExtra, RunError, UsageError
from headstart.recipe import read_recipe
from headstart.run import Run, tracking
from headstart.run.tracking import TRACKERS, curves, need_trackers, short_names, track
from runs_for_tests import QUICK, write_photos
from sources_for_tests import write_model

SETTINGS = {
    f"{method}.{name}": value for method, own in QUICK.items() for name, value in own.items()
}
# What a person may have set for other runs, and must not matter here.
ELSEWHERE = {
    "WANDB_MODE": "online", "WANDB_BASE_URL": "http://192.0.2.1:9", "WANDB_API_KEY": "0" * 40,
    "MLFLOW_TRACKING_URI": "http://192.0.2.1:9", "MLFLOW_EXPERIMENT_NAME": "another",
    "RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "9",
}  # fmt: skip
# Runs at the start of every Python process: who would leave this machine is noted and stopped.
SPY = """
import os, socket
def spy(real, place):
    def call(*given, **named):
        target = given[place]
        host = target[0] if isinstance(target, tuple) else target
        if not isinstance(target, (bytes, type(None))) and str(host) not in ("127.0.0.1", "::1") \\
                and not str(host).startswith("/"):
            with open(os.environ["SPIED"], "a") as file:
                file.write(f"{target}\\n")
            raise OSError("no network in this test")
        return real(*given, **named)
    return call
for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, spy(getattr(socket.socket, name), 1))
socket.getaddrinfo = spy(socket.getaddrinfo, 0)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    pytest.importorskip("tensorboard")
    place = tmp_path_factory.mktemp("tracking")
    data, model = write_photos(place / "photos", 8), write_model(place / "vit", "vit")
    with pytest.MonkeyPatch.context() as patch:
        spy_on(place, patch)
        return headstart.transfer(
            str(data), model=str(model), method="finetune", settings=SETTINGS,
            out=place / "RUN", track="tensorboard",
        )  # fmt: skip


def told(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((run.path / "tracking" / "facts.json").read_text("utf-8"))
    return facts


@pytest.fixture(scope="module")
def written(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the run's facts as a tracker wrote them, which was spied on."""

    @cache
    def write(name: str) -> Path:
        if find_spec(TRACKERS[name]) is None:
            pytest.skip(f"{TRACKERS[name]} is not installed")
        if name == "tensorboard":
            return run.path / "tracking"
        folder = tmp_path_factory.mktemp(name)
        (folder / "spare").mkdir()
        (folder / "facts.json").write_text(json.dumps(told(run)), "utf-8")
        with pytest.MonkeyPatch.context() as patch:
            spy_on(folder, patch)
            tracking._write(name, folder, folder / "spare")
        return folder

    return write


def spy_on(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Note in FOLDER/spied.txt who would leave; the environment leads elsewhere, too."""
    (folder / "spy").mkdir()
    (folder / "spy" / "sitecustomize.py").write_text(SPY)
    for variable, value in ELSEWHERE.items():
        patch.setenv(variable, value)
    patch.setenv("SPIED", str(folder / "spied.txt"))
    patch.setenv("PYTHONPATH", f"{folder / 'spy'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_the_facts_are_those_of_the_record(run: Run) -> None:
    facts = told(run)
    assert run.record.status == "done"
    for result in run.record.results:
        own = short_names([result.name])[result.name]
        for metric, found in result.metrics.items():
            assert facts["summary"][f"{own}/test/{metric}"] == found.value
            if found.low is not None:
                assert facts["summary"][f"{own}/test/{metric}_low"] == found.low
                assert facts["summary"][f"{own}/test/{metric}_high"] == found.high
    trained = [result for result in run.record.results if "curve" in result.details]
    assert {result.method for result in trained} == {"finetune", "from scratch"}
    for result in trained:
        own = short_names([result.name])[result.name]
        for row in result.details["curve"]:
            at = next(r for r in facts["series"] if r["step"] == row["step"])
            assert at[f"{own}/validation/loss"] == row["validation"]
        losses = [r for r in facts["series"] if f"{own}/training/loss" in r]
        assert len(losses) == result.details["steps"]  # so few that each has its own point
    steps = [row["step"] for row in facts["series"]]
    assert steps == sorted(set(steps))
    assert facts["config"]["methods.finetune.epochs"] == 2
    assert facts["config"]["method"] == "finetune"
    assert facts["config"]["verdict"] == run.record.verdict.words  # type: ignore[union-attr]
    assert read_recipe(run.path / "recipe.toml").track == ["tensorboard"]


def test_tensorboard_reads_it(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run.path / "tracking" / "tensorboard"), {"scalars": 0})
    read.Reload()
    facts = told(run)
    for name, value in facts["summary"].items():
        assert read.Scalars(name)[-1].value == pytest.approx(value, rel=1e-6)
    wanted: dict[str, list[tuple[int, float]]] = {}
    for row in facts["series"]:
        for name, value in row.items():
            wanted.setdefault(name, []).append((row["step"], value))
    for name in set(wanted) - {"step"}:
        found = [(one.step, one.value) for one in read.Scalars(name)]
        assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in wanted[name]]
    settings = next((run.path / "tracking" / "tensorboard").rglob("hparams.yml"))
    assert "methods.finetune.epochs: 2" in settings.read_text("utf-8")


def test_mlflow_files_hold_it(run: Run, written: Callable[[str], Path]) -> None:
    folder = written("mlflow")
    (place,) = {path.parent for path in (folder / "mlflow").glob("*/*/metrics")}
    for name, value in told(run)["summary"].items():
        assert float((place / "metrics" / name).read_text().split()[1]) == value
    for row in told(run)["series"]:
        for name in set(row) - {"step"}:
            lines = [line.split() for line in (place / "metrics" / name).read_text().splitlines()]
            assert (str(row["step"]), row[name]) in {(one[2], float(one[1])) for one in lines}
    assert (place / "params" / "methods.finetune.epochs").read_text() == "2"


def records(path: Path) -> Iterator[bytes]:
    """The entries of a .wandb file: LevelDB's log format, in blocks of 32 KiB."""
    data, at, entry = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        entry += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield entry
            entry = b""


def test_weights_and_biases_holds_it_offline(run: Run, written: Callable[[str], Path]) -> None:
    folder = written("wandb")
    from wandb.proto import wandb_internal_pb2 as form

    (file,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    found: dict[str, list[float]] = {}
    settings = set()
    for entry in records(file):
        record = form.Record()
        record.ParseFromString(entry)
        for item in record.history.item:
            name = item.key or item.nested_key[0]
            if not name.startswith("_"):
                found.setdefault(name, []).append(json.loads(item.value_json))
        settings |= {item.key or item.nested_key[0] for item in record.config.update}
    facts = told(run)
    for name, value in facts["summary"].items():
        assert found[name][-1] == value
    for name in {name for row in facts["series"] for name in row} - {"step"}:
        assert found[name] == [row[name] for row in facts["series"] if name in row]
    assert settings >= set(facts["config"])


@pytest.mark.parametrize("name", list(TRACKERS))
def test_nothing_leaves_the_machine(name: str, run: Run, written: Callable[[str], Path]) -> None:
    folder = written(name)
    seen = (run.path.parent if name == "tensorboard" else folder) / "spied.txt"
    assert not seen.exists(), seen.read_text()
    assert (folder / name).is_dir()


def test_the_spy_sees_who_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy_on(tmp_path, monkeypatch)
    code = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode
    assert "192.0.2.1" in (tmp_path / "spied.txt").read_text()


def test_what_cannot_be_is_said_before_the_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="'excel' is unknown; known: tensorboard, mlflow, wandb"):
        headstart.transfer("no such data", track="excel")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[wandb\]'"):
        headstart.transfer("no such data", track=["wandb"], out=tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()
    asked = CliRunner().invoke(app, ["transfer", "no such data", "--track", "wandb"])
    assert isinstance(asked.exception, MissingExtra)
    need_trackers([])


def test_a_tracker_that_fails_leaves_the_run_whole(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(run.path / "recipe.toml")
    monkeypatch.setattr(tracking, "FACTS", "others.json")  # so that the process finds none
    with pytest.raises(RunError, match=r"The run is done and whole, but .*tensorboard: .*facts"):
        track(recipe, run.record, [], tmp_path)
    assert (tmp_path / "tracking" / "others.json").is_file()


def test_curves_of_all_three_forms() -> None:
    details = {
        "losses": [{"step": 2.0, "loss": 0.5}],
        "curve": [{"step": 2.0, "loss": 0.6, "validation": 0.7, "accuracy": 0.8, "seconds": 1.0}],
    }
    assert list(curves(details)) == [
        (2, "training/loss", 0.5), (2, "validation/loss", 0.7), (2, "validation/accuracy", 0.8)
    ]  # fmt: skip
    assert list(curves({"loss": [0.3, 0.2]})) == [
        (1, "training/loss", 0.3),
        (2, "training/loss", 0.2),
    ]
    assert list(curves({"strength": 0.1})) == []
    assert short_names(["a b", "a: b"]) == {"a b": "a-b", "a: b": "a-b-2"}
