"""What is handed over, and when nothing could be seen to be better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from adapt_for_tests import dataset
from headstart.data.dataset import Dataset
from headstart.run.choosing import Entry, best, mistakes


@dataclass(frozen=True)
class Made:
    name: str
    trains: bool = True
    uses_model: bool = True


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset("text", "classification", 30)


def entry(data: Dataset, wrong: list[int], method: Made, rows: Any = None) -> Entry:
    """A result that is wrong on the examples `wrong` and right on the others of `rows`."""
    from headstart.adapt import Trained

    rows = np.arange(len(data)) if rows is None else np.asarray(rows)
    said = np.where(np.isin(rows, wrong), (data.targets[rows] + 1) % 3, data.targets[rows])
    adapted: Any = type("Named", (), {"name": method.name, "task": data.task})()
    return Entry("candidate", None, method, Trained(adapted, rows, 9 * np.eye(3)[said], {}, {}, {}))


def test_mistakes_are_counted_where_all_were_asked(data: Dataset) -> None:
    probe = Made("probe", trains=False)
    leader = entry(data, list(range(9)), probe)
    assert mistakes(leader, data, np.arange(30)) == 9
    assert mistakes(leader, data, np.arange(5, 30)) == 4
    some = entry(data, [], probe, rows=range(10))
    assert mistakes(some, data, np.arange(30)) is None  # nobody knows the other 20
    assert mistakes(some, data, np.arange(0)) is None
    assert mistakes(leader, dataset("text", "regression", 30), np.arange(30)) is None


@pytest.mark.parametrize(("errors", "pointless"), [(5, True), (6, False)])
def test_with_fewer_than_six_mistakes_nothing_can_be_seen_to_be_better(
    errors: int, pointless: bool
) -> None:
    from scipy.stats import binomtest

    from headstart.ranking.advise import advise

    assert (binomtest(0, errors, 0.5).pvalue > 0.05) == pointless  # a flawless rival's
    enough = {"labels_each": 50, "modality": "image", "task": "classification", "left": 500,
              "left_each": 50, "models": 1, "trainable": True}  # fmt: skip
    assert (advise({**enough, "mistakes": errors}).leaf == "frozen") == pointless


def test_a_trained_result_must_be_better_and_a_favoured_one_not_clearly_worse(
    data: Dataset,
) -> None:
    probe = entry(data, [0, 1, 2, 3], Made("probe", trains=False))
    for wrong, plain, favoured in (
        ([0, 1, 2], True, True),
        ([4, 5, 6, 7], False, True),  # as many others
        ([4, 5, 6, 7, 8, 9], False, True),
        ([*range(4, 20)], False, False),  # 16 to 4: p = 0.01
    ):
        rival = entry(data, wrong, Made("rival"))
        assert (best([probe, rival], data) is rival) == plain, wrong
        assert (best([probe, rival], data, "rival") is rival) == favoured, wrong


def test_examples_of_a_group_have_one_vote_against_what_is_favoured(data: Dataset) -> None:
    probe = entry(data, [0], Made("probe", trains=False))
    rival = entry(data, [0, *range(10, 20)], Made("rival"))
    grouped = replace(data, groups=np.array(["p"] * 20 + [None] * 10, object))
    assert best([probe, rival], data, "rival") is probe
    assert best([probe, rival], grouped, "rival") is rival, "10 mistakes of one person"
    several = np.array([f"p{at % 4}" for at in range(30)], object)
    assert best([probe, rival], replace(data, groups=several), "rival") is probe
