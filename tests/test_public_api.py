"""The public surface: what can be imported, called twice, and shown."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import headstart
from headstart.errors import HeadstartError, RunError, UsageError
from headstart.run import Evaluation, Prediction, Run
from runs_for_tests import COLOURS, photo, run_quickly, write_photos

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.mark.parametrize("name", headstart.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    found = getattr(headstart, name)
    assert name in dir(headstart)
    if name != "__version__":
        assert inspect.getdoc(found)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        headstart.nothing  # noqa: B018


def test_transfer_stays_a_function_after_it_was_called(tmp_path: Path) -> None:
    """A submodule of the same name once took its place."""
    for _ in range(2):
        assert inspect.isfunction(headstart.transfer)
        with pytest.raises(HeadstartError):
            headstart.transfer(tmp_path / "absent")


def test_arguments_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--method 'magic'.*probe"):
        headstart.transfer(tmp_path, method="magic")
    with pytest.raises(UsageError, match="--seed"):
        headstart.transfer(tmp_path, seed=-1)
    with pytest.raises(UsageError, match="--budget"):
        headstart.transfer(tmp_path, budget="soon")


def test_a_run_from_python_speaks(tmp_path: Path) -> None:
    """`headstart.transfer` itself, with arrays, and everything that it says on the way."""
    import numpy as np

    rng = np.random.default_rng(0)
    names = list(COLOURS) * 8
    pictures = [photo(rng, COLOURS[name], size=24) for name in names]
    heard: list[str] = []
    run = headstart.transfer(
        (pictures, names), method="probe", budget=5, out=tmp_path / "RUN", say=heard.append
    )
    assert isinstance(run, Run) and run.path == tmp_path / "RUN"
    assert run.record.status == "done" and run.record.verdict is not None
    assert any("Task: classification" in line for line in heard)
    assert any("starter:glyphs" in line for line in heard)
    first = run.predict(pictures[:2])
    assert all(isinstance(one, Prediction) and one.answer in COLOURS for one in first)
    found = run.evaluate((pictures, names))
    assert isinstance(found, Evaluation) and found.count == 24
    again = Run.open(tmp_path / "RUN")
    assert again.record == run.record
    with pytest.raises(RunError, match=r"Python objects|nothing to continue"):
        headstart.resume(tmp_path / "RUN")


def test_unreadable_inputs_are_told_and_the_others_predicted(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 6)
    run = run_quickly(photos, tmp_path / "RUN", model="starter:glyphs", method="probe")
    (tmp_path / "bad.jpg").write_bytes(b"")
    good = photos / "red" / "0.jpg"
    found, bad = run.predicted([str(good), str(tmp_path / "bad.jpg")])
    assert len(found) == 1 and "bad.jpg" in bad[0].id and bad[0].reason
    with pytest.raises(HeadstartError, match=r"bad\.jpg"):
        run.predict(str(tmp_path / "bad.jpg"))
