"""Which task the targets are for, and the arrays that they become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.data.infer import encode, infer_form, label_of, labels_of, parse
from headstart.data.load import open_dataset, open_labelled
from headstart.errors import DataError, TooFewExamples

RNG = np.random.default_rng(0)


def read(cells: list[Any], target: Any = "y", task: str | None = None) -> Any:
    """Return (kind, labels, targets) of cells."""
    form = infer_form(cells, target, task)
    values = parse(form, cells, [f"row {i + 1}" for i in range(len(cells))])
    values = [value for value in values if value is not None]
    labels = labels_of(form, values, "y")
    return form.kind, labels, encode(form, labels, values, "train")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["a", "b"] * 5, "classification"),
        ([True, False] * 5, "classification"),
        ([0, 1] * 5, "classification"),
        ([0.0, 1.0, 2.0] * 5, "classification"),
        (["0", "1"] * 5, "classification"),
        ([1, 2, 3, 4, 5] * 4, "classification"),
        (list(np.linspace(0, 1, 10)), "regression"),
        (["1.5", "2.5", "N/A", "3"] * 3, "regression"),
        (list(range(100)), "regression"),
        (list(range(30)) * 5, "classification"),
        ([3 * i for i in range(30)] * 5, "regression"),
        ([1, 2, 3], "regression"),
        (["a|b", "a", "b|c", "c|a"] * 3, "multi-label"),
        (["0,3", "3", "0", "7", "0,7", "3,7"] * 3, "multi-label"),
        ([["a", "b"], [], ["b"]] * 3, "multi-label"),
        (['["a", "b"]', '["b"]', "[]"] * 3, "multi-label"),
        (["['a', 'b']", "['b']"] * 3, "multi-label"),
        (["Washington, DC", "New York, NY", "Boston, MA"] * 5, "classification"),
        (["either/or", "a-b"] * 5, "classification"),
    ],
)
def test_the_rules(cells: list[Any], kind: str) -> None:
    assert infer_form(cells, "y", None).kind == kind


def test_a_quantity_stays_a_quantity() -> None:
    ages = list(range(1, 31)) * 5
    assert infer_form(ages, "label", None).kind == "classification"
    assert infer_form(ages, "age", None).kind == "regression"
    assert infer_form(ages, "age", "classification").kind == "classification"
    assert infer_form([1, 2, 3] * 5, "label", "regression").kind == "regression"


def test_labels_and_numbers() -> None:
    assert read(["b10", "b9", " b9"])[1:][0] == ("b9", "b10")
    kind, labels, targets = read([1, 0, 1.0, "1", "0.0", np.int64(1)])
    assert (kind, labels) == ("classification", ("0", "1"))
    assert targets.tolist() == [1, 0, 1, 1, 0, 1]
    assert targets.dtype == np.int64
    assert label_of("007") == "007"
    _, labels, targets = read([0.5, None, "2.5", float("nan")], task="regression")
    assert (labels, targets.tolist(), targets.dtype) == (("y",), [0.5, 2.5], np.float64)


def test_multi_label_matrices_agree() -> None:
    truth = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]] * 4, dtype=np.int8)
    names = np.array(["a", "b", "c"])
    lists = [names[row == 1].tolist() for row in truth]
    forms: list[tuple[list[Any], Any]] = [
        (lists, "y"),
        (["|".join(row) for row in lists], "y"),
        ([str(row) for row in lists], "y"),
        ([tuple(row) for row in truth.tolist()], ("a", "b", "c")),
        ([tuple(str(bool(v)) for v in row) for row in truth], ("a", "b", "c")),
    ]
    for cells, target in forms:
        kind, labels, targets = read(cells, target)
        assert (kind, labels) == ("multi-label", ("a", "b", "c"))
        assert targets.dtype == np.int8
        assert np.array_equal(targets, truth)


def test_numbers_with_missing_words() -> None:
    _, labels, targets = read([0, "1", "N/A", "?", 1])
    assert labels == ("0", "1")
    assert targets.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("cells", "options", "error", "words"),
    [
        (["a"] * 5, {}, TooFewExamples, "one class only, 'a'"),
        ([2.5] * 5, {}, TooFewExamples, "nothing to predict"),
        ([None] * 5, {}, DataError, "All 5 targets are missing"),
        ([1.0, float("inf"), 2.5], {}, DataError, "1 targets are infinite: row 2"),
        (["0.1", "0.2", "0.3", "0.5%"], {}, DataError, "1 cells that are none: '0.5%'"),
        (["a", "b"], {"task": "regression"}, DataError, "2 targets are no numbers"),
        ([["a"], ["b"]], {"task": "classification"}, DataError, "does not fit"),
        ([0.5, 1.5], {"task": "multi-label"}, DataError, "does not fit"),
        ([(0, 2)], {"target": ("a", "b")}, DataError, "row 1: column 'b' holds '2'"),
    ],
)
def test_refusals(cells: list[Any], options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read(cells, **options)


def test_several_columns_by_name() -> None:
    data = {
        "text": [f"words {i}" for i in range(20)],
        "toxic": [i % 2 for i in range(20)],
        "rude": [i % 3 == 0 for i in range(20)],
    }
    opened = open_dataset(data, target="toxic,rude")
    assert opened.splits.train.task.name == "multi-label"
    assert opened.splits.train.task.labels == ("toxic", "rude")
    rows = [int(str(i).split()[1]) - 1 for i in opened.splits.train.inputs.ids]
    assert opened.splits.train.targets.tolist() == [[r % 2, int(r % 3 == 0)] for r in rows]


def test_known_labels_decide_how_cells_are_read() -> None:
    texts = [f"words {i}" for i in range(12)]
    joined = ["a, b|c", "c", "d|c", "d"] * 3
    task = open_dataset({"text": texts, "label": joined}).splits.train.task
    assert task.labels == ("a, b", "c", "d")
    data, _, _ = open_labelled({"text": texts[:2], "label": ["a, b", "c"]}, task, "text")
    assert data.targets.tolist() == [[1, 0, 0], [0, 1, 0]]
    columns = {"text": texts[:2], "c": [1, 0], "a, b": [0, 1], "d": [1, 1]}
    data, _, _ = open_labelled(columns, task, "text")
    assert data.targets.tolist() == [[0, 1, 1], [1, 0, 1]]
    with pytest.raises(DataError, match="'x'"):
        open_labelled({"text": texts[:2], "label": ["a, b|x", "c"]}, task, "text")
