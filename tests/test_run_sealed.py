"""Test labels steer nothing: with others, all but the test metrics stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from headstart.run import Run
from runs_for_tests import reviews, run_quickly, write_photos
from sources_for_tests import write_model

pytestmark = pytest.mark.usefixtures("one_core")


def untimed(details: dict[str, Any]) -> dict[str, Any]:
    """Details without what is measured in seconds."""
    kept = {name: value for name, value in details.items() if name != "threads"}
    curve = [{k: v for k, v in e.items() if k != "seconds"} for e in kept.pop("curve", [])]
    return kept | {"curve": curve}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, one_core: None) -> tuple[Run, Run]:
    """Two runs that differ in nothing but the labels of their test parts."""
    place = tmp_path_factory.mktemp("sealed")
    model = str(write_model(place / "bert", "bert"))
    texts, labels = reviews(70)
    made = []
    for name, flip in (("true", False), ("false", True)):
        told = [{"good": "bad", "bad": "good"}[label] if flip else label for label in labels[50:]]
        test = pd.DataFrame({"text": texts[50:], "label": told})
        train = pd.DataFrame({"text": texts[:50], "label": labels[:50]})
        made.append(
            run_quickly(train, place / name, test=test, model=[model], method="finetune")
        )  # fmt: skip
    return made[0], made[1]


def test_choice_and_validation_are_the_same(pair: tuple[Run, Run]) -> None:
    one, other = (run.record for run in pair)
    assert (one.chosen, one.chosen_because) == (other.chosen, other.chosen_because)
    assert one.held_out == other.held_out and one.held_out
    assert one.verdict is not None and other.verdict is not None
    assert (one.verdict.against, one.verdict.candidate) == (
        other.verdict.against, other.verdict.candidate,
    )  # fmt: skip
    assert [c.against for c in one.comparisons] == [c.against for c in other.comparisons]
    assert [r.name for r in one.results] == [r.name for r in other.results]
    for left, right in zip(one.results, other.results, strict=True):
        assert left.validation == right.validation
        assert untimed(left.details) == untimed(right.details)


def test_model_weights_are_the_same(pair: tuple[Run, Run]) -> None:
    one, other = ({p.relative_to(run.path): p for p in (run.path / "model").rglob("*.safetensors")}
                  for run in pair)  # fmt: skip
    assert one.keys() == other.keys() and one
    for name, path in one.items():
        left, right = load_file(path), load_file(other[name])
        assert left.keys() == right.keys()
        for key in left:
            np.testing.assert_array_equal(left[key], right[key], err_msg=f"{name}: {key}")


def test_scores_are_the_same_and_test_metrics_are_not(pair: tuple[Run, Run]) -> None:
    one, other = (pd.read_parquet(run.path / "predictions.parquet") for run in pair)
    for name in [column for column in one if column.startswith("scores: ")]:
        np.testing.assert_array_equal(np.stack(one[name]), np.stack(other[name]))
    assert one["prediction"].tolist() == other["prediction"].tolist()
    name = str(pair[0].record.chosen)
    right, wrong = (run.record.result(name).metrics["accuracy"].value for run in pair)
    assert right + wrong == pytest.approx(1) and right > 0.7


def test_a_test_part_of_noise_cannot_make_transfer_look_good(tmp_path: Path) -> None:
    """The best on validation is handed over, whatever the test part says of it."""
    photos = write_photos(tmp_path / "photos", 8)
    run = run_quickly(photos, tmp_path / "run", model="starter:glyphs", method="probe")
    by_validation = {
        r.name: r.validation["accuracy"] for r in run.record.results if r.method != "from scratch"
    }
    chosen = by_validation[str(run.record.chosen)]
    assert chosen >= max(by_validation.values()) - 0.1  # a tie goes to the simpler one


@pytest.mark.parametrize("seed", [0, 1])
def test_same_seed_same_split(tmp_path: Path, seed: int) -> None:
    texts, labels = reviews(40)
    model = str(write_model(tmp_path / "bert", "bert"))
    ids = []
    for name, given in (("a", seed), ("b", seed), ("c", seed + 5)):
        run = run_quickly((texts, labels), tmp_path / name, model=model, method="probe", seed=given)
        ids.append(sorted(pd.read_parquet(run.path / "predictions.parquet")["id"]))
    assert ids[0] == ids[1] != ids[2]
