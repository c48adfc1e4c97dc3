"""The combination on published tables: its constants, and what is said of it in docs/ranking.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def tables(shared: Path):
    from bench import ranking_tables

    return ranking_tables


def test_static_lists_reach_what_the_tables_say(tables) -> None:
    rows = {row.what: row for row in tables.run()}
    assert rows["static list: tried on the others"].ours == pytest.approx(0.84, abs=0.01)
    assert rows["static list: ImageNet top-1"].ours == pytest.approx(0.65, abs=0.01)
    assert rows["static list: parameters"].ours == pytest.approx(0.58, abs=0.01)


def test_printed_tau_agrees_where_the_tables_readme_says_so(tables) -> None:
    import csv

    from headstart.ranking.agreement import weighted_tau

    rows = list(csv.DictReader((tables.TABLES / "tllib_scores.csv").open()))
    printed = {
        row["dataset"]: row
        for row in csv.DictReader((tables.TABLES / "tllib_printed_weighted_tau.csv").open())
    }
    for data in ("cifar10", "cifar100", "caltech101", "sun397"):
        mine = [row for row in rows if row["dataset"] == data]
        truth = np.array([float(row["finetuned_accuracy"]) for row in mine])
        for name in ("h_score", "logme"):
            found = weighted_tau(np.array([float(row[name]) for row in mine]), truth)
            assert found == pytest.approx(float(printed[data][name]), abs=0.06), (data, name)


def test_constants_of_the_combination_are_those_of_the_tables(tables) -> None:
    from headstart.ranking.combine import SCATTER, TRUST

    table = tables.scored()
    known = np.tile(tables.published(table.models), (len(table.data), 1))
    scores = tables.mean_scores(table)
    combined = tables.mixed(known, scores, TRUST["accuracy"])
    assert tables.scatter(table, combined) == pytest.approx(SCATTER, abs=0.05)
    _, weights = tables.left_out(table, known, scores)
    assert np.median(weights) == 0.0 and np.mean(weights) <= TRUST["accuracy"]


def test_the_combination_is_no_worse_than_the_published_list_and_the_tried_one_is_better(
    tables,
) -> None:
    """What docs/ranking.md says: scores gain nothing on these tables, where the list is strong."""
    rows = {row.what: row for row in tables.run()}
    ours = rows["combined, beside published"]
    assert ours.ours == pytest.approx(ours.theirs, abs=0.01)
    assert rows["mean of the four alone, beside published"].ours < ours.theirs
    assert rows["combined, beside tried"].ours < rows["combined, beside tried"].theirs
