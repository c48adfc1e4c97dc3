"""Which task the targets are for, and how their cells become arrays.

The rules, in order; each can be overridden with --task:

- several target columns, lists, JSON lists, or label sets joined by | ; or , are multi-label;
- texts are classes;
- numbers with fractions are a regression target;
- whole numbers are classes when there are at most 20 different ones and at least 2 examples for
  each on average; also when the column is called a class or category; also when they run from 0
  or 1 without a gap, with at least 5 examples for each, and the column is not called like a
  quantity (price, age, score, …). Other whole numbers are a regression target.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headstart.data.columns import plain_name
from headstart.data.raw import missing, natural, number, some
from headstart.data.task import CLASSIFICATION, MULTI_LABEL, REGRESSION, Task
from headstart.errors import DataError, TooFewExamples

MOST_INTEGERS = 20
QUANTITIES = frozenset(
    {"price", "age", "score", "value", "count", "amount", "year", "weight", "height", "length",
     "time", "duration", "rating", "cost", "temperature", "size", "distance"}
)  # fmt: skip
CLASS_WORDS = frozenset({"class", "classes", "classid", "category"})
NOT_AVAILABLE = frozenset({"na", "n/a", "null", "none", "-", "?", "nan"})  # among numbers only
TRUE, FALSE = frozenset({"1", "true", "yes", "t"}), frozenset({"0", "false", "no", "f"})
SEPARATORS = "|;,"
LONGEST_LABEL = 50  # characters; longer pieces of a joined cell are no labels

Shape = Literal["single", "number", "lists", "joined", "columns"]


@dataclass(frozen=True, slots=True)
class Form:
    """How target cells are to be read. `columns`: the labels, where each has a column."""

    kind: str  # name of a TaskKind
    shape: Shape
    separator: str = ""
    columns: tuple[str, ...] = ()
    why: str = ""
    numeric: bool = False  # class names are numbers, so that "N/A" is a missing one


def infer_form(cells: Sequence[Any], target: str | tuple[str, ...], task: str | None) -> Form:
    """Infer task and form from the training cells (`task`: what the person said, or None).

    Raises DataError where cells and the task asked for do not fit.
    """
    filled = [cell for cell in cells if not missing(cell)]
    asked = "as asked" if task else ""
    if isinstance(target, tuple):
        form = Form(MULTI_LABEL.name, "columns", columns=target, why="several 0/1 columns")
    elif not filled:
        raise DataError(
            f"All {len(cells):,} targets are missing in {target!r}. Name another --target."
        )
    elif task == REGRESSION.name:
        return Form(REGRESSION.name, "number", why=asked)
    elif task == CLASSIFICATION.name and not any(_is_list(cell) for cell in filled):
        return Form(CLASSIFICATION.name, "single", why=asked, numeric=_numbers(filled) is not None)
    else:
        form = _multi_form(filled, must=task == MULTI_LABEL.name) or _single_form(filled, target)
    if task is not None and task != form.kind:
        raise DataError(f"--task {task} does not fit the targets in {target!r}: {form.why}.")
    return form


def _multi_form(cells: list[Any], must: bool) -> Form | None:
    name = MULTI_LABEL.name
    if all(isinstance(cell, np.ndarray) for cell in cells):
        widths = {cell.size for cell in cells}
        if len(widths) == 1 and all(np.isin(cell, (0, 1)).all() for cell in cells):
            columns = tuple(str(i) for i in range(widths.pop()))
            return Form(name, "columns", columns=columns, why="rows of 0 and 1")
    if any(_is_list(cell) for cell in cells):
        return Form(name, "lists", why="the cells are lists")
    texts = [cell for cell in cells if isinstance(cell, str)]
    if texts and len(texts) == len(cells) and all(_listed(text) is not None for text in texts):
        return Form(name, "lists", why="the cells are lists")
    for separator in SEPARATORS:
        if len(texts) == len(cells) and _joined(texts, separator):
            return Form(name, "joined", separator, why=f"labels joined by {separator!r}")
    if must:
        if any(isinstance(cell, float) and not cell.is_integer() for cell in cells):
            raise DataError("--task multi-label does not fit numbers with fractions.")
        used = [s for s in SEPARATORS if any(s in text for text in texts)]
        return Form(name, "joined", used[0] if used else ",", why="as asked")
    return None


def _joined(texts: list[str], separator: str) -> bool:
    """Tell whether cells are sets of labels: pieces come again, in ever other company."""
    if not any(separator in text for text in texts):
        return False
    pieces = [[piece.strip() for piece in text.split(separator)] for text in texts]
    every = [piece for row in pieces for piece in row]
    if any(not piece or len(piece) > LONGEST_LABEL for piece in every):
        return False
    if any(len(set(row)) < len(row) for row in pieces):
        return False
    vocabulary = set(every)
    if len(vocabulary) >= len(set(texts)) or len(every) < 2 * len(vocabulary):
        return False
    # A comma stands in many a plain class name ("Washington, DC"): its pieces must stand alone too.
    alone = {row[0] for row in pieces if len(row) == 1}
    return separator != "," or len(alone) * 2 >= len(vocabulary)


def _single_form(cells: list[Any], target: str) -> Form:
    classes = CLASSIFICATION.name
    if all(isinstance(cell, (bool, np.bool_)) for cell in cells):
        return Form(classes, "single", why="true or false")
    values = _numbers(cells)
    if values is None:
        _mostly_fractions(cells, target)
        return Form(classes, "single", why=f"{len({label_of(c) for c in cells})} different texts")
    finite = values[np.isfinite(values)]
    distinct = np.unique(finite)
    if np.any(finite != np.round(finite)):
        return Form(REGRESSION.name, "number", why="numbers with fractions")
    if len(distinct) < len(np.unique(values)):
        return Form(REGRESSION.name, "number", why="numbers")  # infinite ones are refused later
    few = len(distinct) <= 2 or len(distinct) <= min(MOST_INTEGERS, len(finite) / 2)
    gapless = len(distinct) and distinct[0] in (0, 1) and np.all(np.diff(distinct) == 1)
    numbered = gapless and len(finite) >= 5 * len(distinct)
    words = set(plain_name(target).split())
    if few or words & CLASS_WORDS or (numbered and not words & QUANTITIES):
        why = f"{len(distinct)} different whole numbers"
        return Form(classes, "single", why=why, numeric=True)
    return Form(
        REGRESSION.name,
        "number",
        why=f"{len(distinct)} different whole numbers; give --task classification if they are "
        "classes",
    )


def _mostly_fractions(cells: list[Any], target: str) -> None:
    """Refuse to call a column classes that holds measurements and a few texts ("0.048%")."""
    values = [number(cell) for cell in cells]
    fractions = sum(value is not None and not value.is_integer() for value in values)
    if fractions > len(cells) / 2:
        odd = [str(cell) for cell, value in zip(cells, values, strict=True) if value is None]
        raise DataError(
            f"{target!r} holds numbers with fractions, and {len(odd):,} cells that are none: "
            f"{some(map(repr, odd))}. Mend or empty those, or give --task classification."
        )


def _numbers(cells: list[Any]) -> np.ndarray | None:
    """Return the cells as floats, cells such as "N/A" left out; None where some are no numbers."""
    found = []
    for cell in cells:
        value = number(cell)
        if value is not None:
            found.append(value)
        elif not (isinstance(cell, str) and cell.strip().lower() in NOT_AVAILABLE):
            return None
    return np.asarray(found) if found else None


def _is_list(cell: Any) -> bool:
    return isinstance(cell, (list, tuple, set, frozenset, np.ndarray))


def _listed(text: str) -> list[Any] | None:
    """Return the list that a cell spells, in JSON or as Python prints it; None for other text."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        try:
            value = ast.literal_eval(text)  # literals only: nothing is run
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def label_of(cell: Any) -> str:
    """Return a class name: 1, 1.0, "1" and "1.0" are all "1"; texts lose outer spaces."""
    if isinstance(cell, str):
        text = cell.strip()
        return text[: text.index(".")] if re.fullmatch(r"-?\d+\.0+", text) else text
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    return str(cell.item() if isinstance(cell, np.generic) else cell)


def parse(form: Form, cells: Sequence[Any], ids: Sequence[str]) -> list[Any]:
    """Read each cell: a class name, a tuple of labels, a float; None where the target is missing.

    Raises DataError that names the examples with infinite or unintelligible targets.
    """
    if form.shape == "single":
        names = [None if missing(cell) else label_of(cell) for cell in cells]
        if form.numeric:
            names = [None if name and name.lower() in NOT_AVAILABLE else name for name in names]
        return names
    if form.shape == "number":
        return _parse_numbers(cells, ids)
    if form.shape == "columns":
        return [_flags(cell, form.columns, ids[i]) for i, cell in enumerate(cells)]
    found: list[Any] = []
    for cell in cells:
        if missing(cell):
            found.append(None)
            continue
        listed = _listed(cell) if isinstance(cell, str) else list(cell) if _is_list(cell) else None
        if listed is None and isinstance(cell, str) and form.separator:
            listed = [piece for piece in cell.split(form.separator) if piece.strip()]
        found.append(tuple(label_of(one) for one in ([cell] if listed is None else listed)))
    return found


def _parse_numbers(cells: Sequence[Any], ids: Sequence[str]) -> list[float | None]:
    found: list[float | None] = []
    infinite, odd = [], []
    for cell, name in zip(cells, ids, strict=True):
        value = None if missing(cell) else number(cell)
        if value is not None and math.isinf(value):
            infinite.append(name)
        if value is None and not missing(cell) and str(cell).strip().lower() not in NOT_AVAILABLE:
            odd.append(f"{name} ({str(cell)[:30]!r})")
        found.append(None if value is None or math.isnan(value) else value)
    if infinite:
        raise DataError(
            f"{len(infinite):,} targets are infinite: {some(infinite, 5)}. "
            "Mend them, or empty their cells to leave those examples out."
        )
    if odd:
        raise DataError(
            f"{len(odd):,} targets are no numbers: {some(odd)}. "
            "Mend them, or give --task classification."
        )
    return found


def _flags(cell: Any, columns: tuple[str, ...], name: str) -> tuple[str, ...] | None:
    """Return the labels whose cell is 1 or true; None where a cell is missing."""
    if any(missing(one) for one in cell):
        return None
    texts = [label_of(one).lower() for one in cell]
    for text, column in zip(texts, columns, strict=True):
        if text not in TRUE | FALSE:
            raise DataError(
                f"{name}: column {column!r} holds {text!r}. Several target columns are read as "
                "multi-label, and must hold 0 and 1 only."
            )
    return tuple(column for text, column in zip(texts, columns, strict=True) if text in TRUE)


def labels_of(form: Form, values: Sequence[Any], target: str) -> tuple[str, ...]:
    """Return the labels of the task from parsed training targets, none missing.

    Raises TooFewExamples where there are no 2 classes, or no 2 different numbers.
    """
    if form.shape == "number":
        if len(set(values)) < 2:
            raise TooFewExamples(
                f"All targets in {target!r} are {some(map(str, set(values)))}; there is nothing "
                "to predict. Name another --target."
            )
        return (target,)
    if form.shape == "columns":
        return form.columns
    if form.shape == "single":
        found = set(values)
        if len(found) < 2:
            raise TooFewExamples(
                f"There is one class only, {some(map(repr, found))}; at least 2 are needed. "
                "Check --target."
            )
    else:
        found = {label for value in values for label in value}
        if not found:
            raise TooFewExamples(f"No example has any label in {target!r}. Check --target.")
    return tuple(sorted(found, key=natural))


def encode(form: Form, labels: tuple[str, ...], values: Sequence[Any], part: str) -> np.ndarray:
    """Return targets as a Dataset holds them. Raises DataError that names unknown labels."""
    if form.kind == REGRESSION.name:
        return np.asarray(values, dtype=np.float64).reshape(len(values))
    number_of = {label: i for i, label in enumerate(labels)}
    rows = [(value,) for value in values] if form.shape == "single" else values
    unknown = {label for row in rows for label in row if label not in number_of}
    if unknown:
        raise DataError(
            f"The {part} part has labels that training never showed: "
            f"{some(map(repr, sorted(unknown, key=natural)), 5)}. Known are "
            f"{some(map(repr, labels), 8)}. Mend the labels, or add training examples."
        )
    if form.kind == CLASSIFICATION.name:
        return np.asarray([number_of[row[0]] for row in rows], dtype=np.int64)
    targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for i, row in enumerate(rows):
        targets[i, [number_of[label] for label in row]] = 1
    return targets


def known_form(cells: Sequence[Any], task: Task, target: str | tuple[str, ...]) -> Form:
    """Return how to read cells for a task whose labels are known."""
    if task.name != MULTI_LABEL.name:
        return Form(task.name, "number" if task.name == REGRESSION.name else "single")
    texts = [cell for cell in cells if isinstance(cell, str) and not missing(cell)]
    known = set(task.labels)
    for separator in SEPARATORS if texts and isinstance(target, str) else "":
        if all(label_of(p) in known for text in texts for p in text.split(separator) if p.strip()):
            return Form(task.name, "joined", separator)
    return infer_form(cells, target, MULTI_LABEL.name)
