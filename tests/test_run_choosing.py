"""What is handed over, and when nothing could be seen to be better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from adapt_for_tests import dataset
from headstart.data.dataset import Dataset
from headstart.run.choosing import Entry, best, nothing_to_gain


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


@pytest.mark.parametrize(("errors", "pointless"), [(5, True), (6, False)])
def test_fewer_than_six_errors_cannot_be_bettered_significantly(
    data: Dataset, errors: int, pointless: bool
) -> None:
    from scipy.stats import binomtest

    assert (binomtest(0, errors, 0.5).pvalue > 0.05) == pointless  # a flawless rival's
    leader = entry(data, list(range(errors)), Made("probe", trains=False))
    why = nothing_to_gain(leader, data, np.arange(30))
    assert (why is not None) == pointless
    if why:
        assert why.startswith("probe is wrong on 5 of 30 validation examples")


def test_errors_elsewhere_and_unasked_rows_do_not_count(data: Dataset) -> None:
    leader = entry(data, list(range(9)), Made("probe", trains=False))
    assert nothing_to_gain(leader, data, np.arange(10, 30))
    some = entry(data, [], Made("probe", trains=False), rows=range(10))
    assert nothing_to_gain(some, data, np.arange(30)) is None  # nobody knows the other 20
    assert nothing_to_gain(some, data, np.arange(0)) is None
    assert nothing_to_gain(leader, dataset("text", "regression", 30), np.arange(30)) is None


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
