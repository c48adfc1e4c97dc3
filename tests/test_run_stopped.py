"""Runs that are killed, stopped, or out of disk: nothing is lost, and they go on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import RunError
from headstart.recipe import DataRecipe, Recipe
from headstart.records import RunRecord, read_record
from headstart.run import Run, resume
from runs_for_tests import QUICK, command, events, on_one_core, run_quickly, write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a fine-tuning long enough to be stopped in, in a folder of its own."""
    place = tmp_path_factory.mktemp("stopped")
    made = Recipe(
        models=[str(write_model(place / "vit", "vit"))],
        method="finetune",
        data=DataRecipe(source=str(write_photos(place / "photos", 10))),
        methods=QUICK | {"finetune": {"epochs": 20, "patience": 20, "batch": 4}},
    )
    (place / "recipe.toml").write_text(made.to_toml())
    return place / "recipe.toml"


@pytest.fixture(scope="module")
def undisturbed(recipe: Path, one_core: None) -> RunRecord:
    done = started(recipe, recipe.parent / "whole")
    assert done.wait(120) == 0, done.stderr and done.stderr.read()
    return read_record(recipe.parent / "whole" / "record.json")


def started(recipe: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start the command line on one core, as the other runs here."""
    return subprocess.Popen(
        [sys.executable, "-m", "headstart", "transfer", "--recipe", str(recipe), "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HEADSTART_CACHE": str(out.parent / "cache")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_alone,
    )  # fmt: skip


def _alone() -> None:
    """One core; and Ctrl-C heard, which a shell's background jobs are started deaf to."""
    on_one_core()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(run: Path, method: str, process: subprocess.Popen[str]) -> None:
    """Wait until a result of `method` is finished."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        names = [line.get("name", "") for line in events(run) if line["event"] == "result"]
        if any(name.startswith(method) for name in names):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(f"no result of {method} within a minute")


def facts(record: RunRecord) -> dict[str, Any]:
    """All that must not depend on being stopped."""
    results = {
        r.name: (r.validation, {n: m.model_dump() for n, m in r.metrics.items()}, r.parameters)
        for r in record.results
    }
    return {"chosen": record.chosen, "verdict": record.verdict, "results": results,
            "data": record.data}  # fmt: skip


def test_a_killed_run_goes_on_and_nothing_is_lost(recipe: Path, undisturbed: RunRecord) -> None:
    run = recipe.parent / "killed"
    process = started(recipe, run)
    wait_for(run, "probe", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = read_record(run / "record.json")
    assert before.status == "running" and before.verdict is None
    finished = {r.name: r.seconds for r in before.results}
    assert {"majority", "simple: colour-texture", "probe: vit"} <= set(finished)
    assert not any(r.metrics for r in before.results), "test labels were opened"
    with pytest.raises(RunError, match="--resume"):
        _ = Run.open(run).model

    done = command("transfer", "--resume", run, "--json")
    assert done.returncode == 0, done.stderr
    after = read_record(run / "record.json")
    assert json.loads(done.stdout)["status"] == after.status == "done"
    for name, seconds in finished.items():  # taken over with the time that it took then
        now = {k: v for k, v in after.result(name).seconds.items() if k != "predict"}
        assert now == seconds
    assert facts(after) == facts(undisturbed)
    assert not (run / "candidates").exists()
    with pytest.raises(RunError, match="nothing to continue"):
        resume(run)


def test_ctrl_c_keeps_what_was_finished_and_says_so(recipe: Path) -> None:
    run = recipe.parent / "interrupted"
    endless = recipe.with_name("endless.toml")  # so that it cannot be done before it is stopped
    endless.write_text(recipe.read_text().replace("epochs = 20", "epochs = 5000"))
    assert endless.read_text() != recipe.read_text()
    process = started(endless, run)
    wait_for(run, "probe", process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    last = stderr.strip().splitlines()[-1]
    assert "stopped" in last and "--resume" in last
    assert "Traceback" not in stderr
    record = read_record(run / "record.json")
    assert record.status == "interrupted"
    assert any("Ctrl-C" in note for note in record.notes)
    assert [r.method for r in record.results][:3] == ["majority", "simple", "probe"]
    assert (run / "report.html").exists()
    assert events(run)[-1]["event"] == "stopped"


def test_a_full_disk_is_one_line_and_exit_code_2(recipe: Path) -> None:
    """Files may not grow over 30 kB: like a full disk, it stops the first weights to be written."""
    resource = pytest.importorskip("resource")
    run = recipe.parent / "full"
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "transfer", "--recipe", str(recipe), "--out", str(run)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)), check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr.strip().splitlines()[-1]
    assert not list(run.rglob("*.partial"))


@pytest.mark.parametrize("when", [1, 4, 9])
def test_whatever_write_fails_the_rest_is_whole(
    when: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_photos(tmp_path / "photos", 6)
    count = 0
    real = os.fsync

    def full(number: int) -> None:
        nonlocal count
        count += 1
        if count >= when:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"No space left on device.*kept"):
        run_quickly(photos, tmp_path / "run", model="starter:glyphs", method="probe")
    assert not list((tmp_path / "run").rglob("*.partial"))
    if (tmp_path / "run" / "record.json").exists():
        assert read_record(tmp_path / "run" / "record.json").status == "running"


def test_a_full_store_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = write_photos(tmp_path / "photos", 6)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunError, match="HEADSTART_CACHE"):
        run_quickly(photos, tmp_path / "run", model="starter:glyphs", method="probe")
    record = read_record(tmp_path / "run" / "record.json")
    assert record.status == "interrupted"
    assert [r.method for r in record.results] == ["majority", "simple"]


def test_resume_refuses_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"recipe\.toml"):
        resume(tmp_path)
    with pytest.raises(RunError, match="absent"):
        resume(tmp_path / "absent")
