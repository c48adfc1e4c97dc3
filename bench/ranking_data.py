"""The five image sets that bench/ranking.py ranks on, small enough to fine-tune on one core.

At most ROWS training and TEST test examples a set, drawn in equal shares of the classes with a
fixed seed. Blood cells come twice: as ready crops, and as crops that are cut here from other red
cells, square and with what lies around the cell.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from bench.cases import SHARED
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Dataset
from headstart.data.load import open_dataset
from headstart.ranking.resample import sample

DATA = SHARED / "data"
ROWS, TEST = 400, 300
EVERY, FIRST = 7, 3  # red cells: every 7th, from the 3rd; blood_cells has every 7th as well
AROUND = 1.6  # side of a crop, in longer sides of its box


def opened(name: str, made: Path) -> tuple[Dataset, Any, np.ndarray]:
    """Return (training data, test inputs, test targets); pictures are made below `made`."""
    splits = open_dataset(str(SETS[name](made))).splits
    train = splits.train.take(sample(splits.train.targets, ROWS, rng=rng_for(0, "bench/ranking")))
    truth = splits.test.targets.open()
    rows = sample(truth, TEST, rng=rng_for(0, "bench/ranking test"))
    return train, splits.test.inputs.take(rows), truth[rows]


def _bccd(made: Path) -> Path:
    """Cut cells out of bccd_detection, by the lists of images of its source."""
    from PIL import Image

    home, folder = DATA / "bccd_detection", made / "bccd"
    if (folder / "done").exists():
        return folder / "pictures"
    red = 0
    for part in ("train", "test"):
        stems = (home / "ImageSets" / "Main" / f"{part}.txt").read_text("utf-8").split()
        for stem in stems:
            objects = ElementTree.parse(home / "Annotations" / f"{stem}.xml").iter("object")
            with Image.open(home / "JPEGImages" / f"{stem}.jpg") as picture:
                for at, cell in enumerate(objects):
                    kind = cell.findtext("name") or ""
                    red += kind == "RBC"
                    if kind == "RBC" and red % EVERY != FIRST:
                        continue
                    place = folder / "pictures" / part / kind
                    place.mkdir(parents=True, exist_ok=True)
                    _square(picture, cell).save(place / f"{stem}_{at}.png")
    (folder / "done").touch()
    return folder / "pictures"


def _square(picture: Any, cell: ElementTree.Element) -> Any:
    """Return the square around a box, 96 pixels a side."""
    left, top, right, bottom = (
        int(cell.findtext(f"bndbox/{key}") or 0) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    half = max(8.0, AROUND * max(right - left, bottom - top) / 2)
    x, y = (left + right) / 2, (top + bottom) / 2
    box = tuple(round(v) for v in (x - half, y - half, x + half, y + half))
    return picture.crop(box).convert("RGB").resize((96, 96))


def _digits(made: Path) -> Path:
    """Write digits of MNIST as pictures, with a table of them; its files are sorted by digit."""
    from PIL import Image

    folder = made / "digits"
    if (folder / "done").exists():
        return folder / "digits.csv"
    rows = []
    for part, count in (("train", 2 * ROWS), ("test", 2 * TEST)):
        arrays = np.load(DATA / "digits" / f"mnist_{part}.npz")
        (folder / part).mkdir(parents=True, exist_ok=True)
        drawn = rng_for(0, f"bench/ranking digits {part}").permutation(len(arrays["y"]))[:count]
        for at in map(int, drawn):
            file = Path(part) / f"{at}.png"
            Image.fromarray(arrays["x"][at]).convert("RGB").save(folder / file)
            rows.append((str(file), f"digit {arrays['y'][at]}", part))
    with (folder / "digits.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("image", "label", "split"), *rows])
    (folder / "done").touch()
    return folder / "digits.csv"


SETS: dict[str, Callable[[Path], Path]] = {
    "clothing_small": lambda made: DATA / "clothing_small",
    "hymenoptera": lambda made: DATA / "hymenoptera",
    "blood_cells": lambda made: DATA / "blood_cells",
    "bccd crops": _bccd,
    "digits": _digits,
}
