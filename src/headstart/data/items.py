"""Inputs as Python objects: which kind they are, and the Items that they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.raw import Options, Quarantined, media_suffix, missing, suffix_kinds
from headstart.data.rows import file_item
from headstart.errors import DataError

ACCEPTED = (
    "a DataFrame, a dict of columns, a list of dicts, a tuple (inputs, targets), or inputs "
    "together with target=: texts, paths, uint8 images (n, h, w) or (n, h, w, 3), or tuples "
    "(samples, rate)"
)

Items = tuple[Any, list[str], list[int], str, list[Quarantined], list[str]]


def read_items(data: Any, options: Options) -> Items:
    """Return (items, ids, rows kept, modality, quarantine, said) of inputs without columns."""
    if hasattr(data, "__array__") and not isinstance(data, np.ndarray):
        data = np.asarray(data)
    if isinstance(data, np.ndarray) and data.dtype.kind in "biuf":
        return _image_stack(data, options)
    cells = as_list(data)
    kept = [row for row, cell in enumerate(cells) if not missing(cell)]
    empty = [Quarantined(f"row {row + 1}", "no input in this row")
             for row in sorted(set(range(len(cells))) - set(kept))]  # fmt: skip
    if not kept:
        raise DataError("There are no inputs.")
    modality, paths = _modality_of([cells[row] for row in kept], options.modality)
    items: list[Any] = []
    ids, rows = [], []
    for row in kept:
        cell = cells[row]
        if paths and isinstance(cell, (str, Path)):
            path = (options.root or Path()) / cell
            if not path.is_file():
                empty.append(Quarantined(str(cell), "file does not exist"))
                continue
            items.append(file_item(path, modality, options.encoding))
            ids.append(str(cell))
        else:
            items.append(_item(cell, modality, row))
            ids.append(f"row {row + 1}")
        rows.append(row)
    double = len(set(ids)) < len(ids)
    ids = [f"{i} (row {row + 1})" for i, row in zip(ids, rows, strict=True)] if double else ids
    return items, ids, rows, modality, empty, []


def _image_stack(data: np.ndarray, options: Options) -> Items:
    """Accept one array of images (n, h, w) or (n, h, w, 1 | 3 | 4)."""
    from headstart.data.modality.image import to_uint8

    shaped = data.ndim == 3 or (data.ndim == 4 and data.shape[3] in (1, 3, 4))
    if not shaped or options.modality not in (None, "image") or not data.size:
        raise DataError(
            f"An array of shape {data.shape} is no stack of images; expected (n, h, w), or "
            "(n, h, w, c) with 1, 3 or 4 channels."
        )
    said = []
    if data.dtype != np.uint8:
        low, high = float(data.min()), float(data.max())
        data = to_uint8(data)
        said.append(f"Pixel values from {low:g} to {high:g} were scaled to 0 to 255.")
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    ids = [f"row {row + 1}" for row in range(len(data))]
    return data, ids, list(range(len(data))), "image", [], said


def _modality_of(cells: list[Any], modality: str | None) -> tuple[str, bool]:
    """Return (modality, whether strings among the cells are paths)."""
    first = cells[0]
    if is_audio(first):
        return "audio", False
    if isinstance(first, np.ndarray) or is_pil(first):
        return "image", False
    if not isinstance(first, (str, Path)):
        raise DataError(f"Inputs of type {type(first).__name__} are not understood; {ACCEPTED}.")
    if modality is not None and (modality != "text" or isinstance(first, Path)):
        return modality, True
    kinds = suffix_kinds()
    endings = [media_suffix(cell, kinds) for cell in cells]
    known = [kind for kind in endings if kind is not None]
    if modality != "text" and len(known) >= len(cells) / 2:
        return max(sorted(set(known)), key=known.count), True
    if isinstance(first, Path):
        raise DataError(f"{first} has no ending of an image, audio or text file.")
    return "text", False


def _item(cell: Any, modality: str, row: int) -> Any:
    """Return one input as an Item."""
    if is_pil(cell):
        return np.asarray(cell.convert("RGB"))
    if isinstance(cell, np.ndarray) and cell.ndim == 3 and cell.shape[2] == 1:
        return cell[..., 0]
    if is_audio(cell):
        return np.asarray(cell[0]), int(cell[1])
    expected = {"text": str, "image": np.ndarray}.get(modality, tuple)
    if not isinstance(cell, expected):
        raise DataError(
            f"Input {row + 1} is a {type(cell).__name__} among {modality} inputs. "
            "Give inputs of one kind."
        )
    return cell


def is_audio(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[1], (int, np.integer))
        and hasattr(value[0], "__len__")
        and not isinstance(value[0], str)
    )


def is_pil(value: Any) -> bool:
    return type(value).__module__.startswith("PIL.") and hasattr(value, "convert")


def as_list(values: Any) -> list[Any]:
    """Return the values of a list, array, Series or other sequence; rows of a 2-d array as lists.

    Raises DataError for what has no order.
    """
    if isinstance(values, str) or not hasattr(values, "__len__") or isinstance(values, (set, dict)):
        raise DataError(f"Expected a sequence, got {type(values).__name__}.")
    if hasattr(values, "iloc") and hasattr(values, "columns"):  # a data frame
        values = values.to_numpy()
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        return list(values) if values.ndim > 1 else values.tolist()
    return values.tolist() if hasattr(values, "tolist") else list(values)
