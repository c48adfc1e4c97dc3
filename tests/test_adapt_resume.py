"""A training that is killed goes on from its checkpoint, to the same result bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart.sources as sources
from headstart.adapt.checkpoint import Checkpoints
from headstart.adapt.finetune import FineTune
from headstart.adapt.method import Context, Trained
from headstart.sources.backbone import Backbone
from headstart.testing.method import MethodConformance
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")

KILLS = 20
STEPS = 9  # 3 an epoch
SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch": 7, "patience": 9, "keep_dropout": True, "unfreeze": "last-first",
    "techniques": ("ema:0.9", "soup:3"),
}  # fmt: skip


class Suite(MethodConformance):
    method = FineTune(**SETTINGS)
    folder: Path

    def backbone(self) -> Backbone:
        return sources.load(str(self.folder))


class Killed(BaseException):
    """Stands in for a kill inside this process."""


def context_of(folder: Path, keep: Path | None, every: float = 0.0) -> Context:
    suite = Suite()
    suite.folder = folder
    return replace(suite.context("classification"), keep=keep, every=every)


def state(trained: Trained) -> dict[str, np.ndarray]:
    """Return everything that a training leaves, as arrays."""
    featuriser: Any = trained.adapted.featuriser
    weights = {n: v.numpy() for n, v in featuriser.backbone.module.state_dict().items()}
    return weights | trained.adapted.head.arrays() | {"held": trained.outputs}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def stops_at(context: Context, step: int) -> Context:
    """Return a context whose progress bar kills the training after so many new steps."""
    from contextlib import contextmanager

    @contextmanager
    def progress(what: str, total: int) -> Any:
        done, begun = 0, False

        def advance(count: int) -> None:  # first what was done before, then step by step
            nonlocal done, begun
            done += count if begun else 0
            begun = True
            if what.startswith("finetune") and done >= step:
                raise Killed

        yield advance

    return replace(context, progress=progress)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("resume") / "vit", "vit", hidden_dropout_prob=0.2)


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, np.ndarray]:
    """The result of a training that nobody stopped, without checkpoints."""
    torch.set_num_threads(1)
    return state(Suite.method.adapt(context_of(folder, None)))


def test_twenty_kills_at_random_steps_change_nothing(
    folder: Path, whole: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Every child is killed by SIGKILL at a random step; the next one goes on."""
    np.savez(tmp_path / "whole.npz", **whole)
    done = subprocess.run(
        [sys.executable, __file__, str(folder), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["kills"] == KILLS and facts["equal"] == facts["runs"] >= 3


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    folder: Path, whole: dict[str, np.ndarray], tmp_path: Path
) -> None:
    keep, heard = tmp_path / "keep", []
    context = replace(context_of(folder, keep), say=heard.append)
    with pytest.raises(Killed):
        Suite.method.adapt(stops_at(context, 6))
    pages = sorted(keep.glob("*.json"))
    assert [page.stem for page in pages] == ["00000004", "00000005"]
    newest = keep / json.loads(pages[-1].read_text())["files"]["model"]["file"]
    content = bytearray(newest.read_bytes())
    content[-3] ^= 1
    newest.write_bytes(bytes(content))
    again = Suite.method.adapt(context)
    assert any("is damaged; the one before" in sentence for sentence in heard)
    assert any("goes on after step 4" in sentence for sentence in heard)
    assert same(state(again), whole)


def test_a_full_disk_is_said_once_and_training_goes_on(
    folder: Path, whole: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    context = replace(context_of(folder, tmp_path / "keep"), say=heard.append)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headstart.adapt.checkpoint.save_file", full)
    trained = Suite.method.adapt(context)
    assert sum("No space left on device" in sentence for sentence in heard) == 1
    assert same(state(trained), whole)


def test_a_checkpoint_of_other_settings_or_data_is_not_taken_up(
    folder: Path, tmp_path: Path
) -> None:
    keep = tmp_path / "keep"
    context = context_of(folder, keep)
    with pytest.raises(Killed):
        Suite.method.adapt(stops_at(context, 5))
    heard: list[str] = []
    other = replace(context, say=heard.append)
    replace(Suite.method, weight_decay=0.5).adapt(other)
    assert not [sentence for sentence in heard if "goes on" in sentence]


def test_two_checkpoints_are_kept_and_nothing_half_written(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "keep", "key", print, every=0.0)
    for number in range(1, 5):
        kept.save(number, {"n": number}, {"model": {"w": torch.full((3,), float(number))}})
    names = sorted(path.name for path in (tmp_path / "keep").iterdir())
    assert names == [
        "00000003.json", "00000004.json", "model-00000003.safetensors",
        "model-00000004.safetensors",
    ]  # fmt: skip
    found = kept.load()
    assert found is not None and found.facts == {"n": 4}
    assert torch.equal(found.groups["model"]["w"], torch.full((3,), 4.0))


def _drive(folder: Path, place: Path) -> None:
    """Fork children that train, each killed at a random step of its own, until KILLS are dead."""
    with np.load(place / "whole.npz") as saved:
        whole = {name: saved[name] for name in saved.files}
    state(Suite.method.adapt(context_of(folder, None)))  # children need not import it all again
    rng, kills, runs, equal = np.random.default_rng(0), 0, 0, 0
    while kills < KILLS:
        keep = place / f"keep-{runs}"
        while True:
            last = int(rng.integers(1, STEPS - 2)) if kills < KILLS else 0
            if os.fork() == 0:
                _child(folder, keep, last, whole)
            _, status = os.wait()
            if os.WIFEXITED(status):
                equal += os.WEXITSTATUS(status) == 7
                break
            assert os.WTERMSIG(status) == signal.SIGKILL, status
            kills += 1
        runs += 1
    print(json.dumps({"kills": kills, "runs": runs, "equal": equal}))


def _child(folder: Path, keep: Path, last: int, whole: dict[str, np.ndarray]) -> None:
    """Exit with 7 where the result is the whole one's, with 8 where it is not."""
    context = context_of(folder, keep)
    if last:
        context = stops_at(context, last)
    try:
        trained = Suite.method.adapt(context)
    except Killed:
        os.kill(os.getpid(), signal.SIGKILL)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(9)
    os._exit(7 if same(state(trained), whole) else 8)


if __name__ == "__main__":
    torch.set_num_threads(1)
    _drive(Path(sys.argv[1]), Path(sys.argv[2]))
