"""What an automatic run was expected to cost, beside what it cost: seconds, memory, disk.

Nine runs of `transfer` with `method="auto"` on real data of different kind, each in a fresh process
with an empty store of features. Expected is what the record has from before anything ran. What
happened is measured here as well, from outside the record: the clock around the call, the most
memory of the process (`ru_maxrss`), and the most that lay on disk, looked at twice a second (RUN
and store of features). The factor of error is the larger over the smaller: 1 is exact, 2 is half or
double. Where other work runs beside it, the wall's clock goes unevenly: seconds of the processor
are compared too; expected there is the estimate times the share of a core that the run had until
then. Trainings that the run left out after a second look, and their predictions, are in the
estimate of the whole; `what was done` compares without them.

Every run is kept as JSON in .bench/estimates, and the benchmark goes on where it was stopped;
delete the folder to measure anew. One run alone: `python -m bench.estimates keep CASE`; what there
is: `python -m bench.estimates table`.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.cases import MINILM, MOBILENET, SHARED, YAMNET, digits_spoken
from bench.fresh import ROOT, fresh, kept, place_of
from bench.table import Row, show

NAME = "estimates"
KEPT = ROOT / ".bench" / "estimates"
SMALL = str(SHARED / "models" / "mobilenet_v1_025_128")
DATA = SHARED / "data"
MB = 2.0**20
QUANTITIES = {"seconds": "s", "memory": "MB", "disk": "MB"}


@dataclass(frozen=True, slots=True)
class Case:
    """One run: data as `transfer` takes them, models, seconds of budget."""

    data: Callable[[], Any]
    models: tuple[str, ...]
    budget: float
    options: dict[str, Any] = field(default_factory=dict)


def _table(inputs: list[Any], targets: list[Any], train: int) -> Any:
    """Return inputs and targets as a table whose first `train` rows are for training."""
    import pandas as pd

    split = ["train"] * train + ["test"] * (len(inputs) - train)
    return pd.DataFrame({"text": inputs, "label": targets, "split": split})


def _emotions() -> Any:
    import pandas as pd

    named = {"sep": "\t", "header": None, "quoting": 3}
    train = pd.read_csv(DATA / "go_emotions" / "train.tsv", **named)[:2000]
    test = pd.read_csv(DATA / "go_emotions" / "test.tsv", **named)[:800]
    both = pd.concat([train, test])
    return _table(both[0].tolist(), both[1].astype(str).tolist(), len(train))


def _beers() -> Any:
    """Strength of a beer, by its name and style."""
    import pandas as pd

    found = pd.read_csv(DATA / "dirty_tables" / "beers_clean.csv").dropna(subset=["abv", "style"])
    texts = [
        f"{name}, {style}" for name, style in zip(found["beer-name"], found["style"], strict=1)
    ]
    return _table(texts, (100 * found["abv"]).tolist(), len(found) * 3 // 4)


def _few_reviews() -> Any:
    """Eight labels a class."""
    import pandas as pd

    folder, named = DATA / "customer_reviews", {"sep": "\t", "quoting": 3}
    few = pd.read_csv(folder / "train.tsv", **named).groupby("label", group_keys=False).head(8)
    both = pd.concat([few, pd.read_csv(folder / "test.tsv", **named)])
    return _table(both["text"].tolist(), both["label"].astype(str).tolist(), len(few))


def _digits() -> Any:
    with np.load(DATA / "digits" / "mnist_train.npz") as file:
        rows = np.random.default_rng(0).permutation(len(file["y"]))[:2000]
        return list(file["x"][rows]), [str(label) for label in file["y"][rows]]


def cases() -> dict[str, Case]:
    """Return the runs by name."""
    spoken = {"input": "path", "target": "label"}
    named = {"input": "text", "target": "label"}
    return {
        "hymenoptera, two models": Case(lambda: DATA / "hymenoptera", (MOBILENET, SMALL), 90),
        "clothing_small": Case(lambda: DATA / "clothing_small", (MOBILENET,), 120),
        "digits": Case(_digits, (SMALL,), 60),
        "trec": Case(lambda: DATA / "trec", (MINILM,), 120),
        "customer_reviews, 8 a class": Case(_few_reviews, (MINILM,), 120, named),
        "go_emotions, multi-label": Case(_emotions, (MINILM,), 90, named | {"task": "multi-label"}),
        "beers, regression": Case(_beers, (MINILM,), 60, named | {"task": "regression"}),
        "instruments": Case(lambda: DATA / "instruments", (YAMNET,), 90),
        "fsdd": Case(digits_spoken, (YAMNET,), 60, spoken),
    }


@contextmanager
def _watched(*folders: Path) -> Iterator[list[float]]:
    """Yield the sizes of the folders together, in bytes; one more is added twice a second."""
    sizes, done = [0.0], threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            sizes.append(_bytes(folders))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield sizes
    finally:
        done.set()
        watcher.join()


def _bytes(folders: tuple[Path, ...]) -> float:
    total = 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # it was moved meanwhile
    return float(total)


def measured(name: str) -> dict[str, Any]:
    """Run one case in this process; returns expected and happened, of the whole and the parts."""
    from headstart.features.store import cache_folder
    from headstart.run import transfer

    case = cases()[name]
    data = case.data()
    with tempfile.TemporaryDirectory(prefix="headstart-bench-") as place:
        run = Path(place) / "run"
        with _watched(run, cache_folder() / "features") as sizes:
            clocks = _Clocks()
            record = transfer(
                data, model=list(case.models), budget=case.budget, out=run, say=clocks.note,
                **case.options,
            ).record  # fmt: skip
            seconds, used = clocks.now()
    advice = record.advice
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    assert advice is not None and advice.happened is not None
    expected = {name: getattr(advice.estimated, name) for name in QUANTITIES}
    return {
        "expected": expected,
        "happened": {"seconds": seconds, "memory": most, "disk": max(sizes) / MB},
        "said": {name: getattr(advice.happened, name) for name in QUANTITIES},
        "processor": {"happened": used, "expected": clocks.expected(expected["seconds"])},
        "budget": case.budget,
        "leaf": advice.leaf,
        "methods": [result.method for result in record.results],
        "parts": [part.model_dump() for part in advice.estimates],
        "seconds": {result.name: result.seconds for result in record.results},
        "details": {result.name: _some(result.details) for result in record.results},
        "notes": record.notes,
    }


class _Clocks:
    """Seconds of the wall and of the processor since the run began, and when it was foreseen."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()
        self._foreseen = 0.0, 0.0

    def now(self) -> tuple[float, float]:
        wall, processor = self._start
        return time.perf_counter() - wall, time.process_time() - processor

    def note(self, sentence: str) -> None:
        if sentence.startswith("Expected:"):
            self._foreseen = self.now()

    def expected(self, seconds: float) -> float:
        """Return expected seconds of the processor: as busy afterwards as it was until then.

        Other work on the machine changes the pace of the wall's clock, and so of estimates.
        """
        wall, processor = self._foreseen
        return processor + (seconds - wall) * processor / wall


def _some(details: dict[str, Any]) -> dict[str, Any]:
    keys = ("steps", "steps_planned", "ended", "threads", "precision", "best_step")
    return {key: details[key] for key in keys if key in details}


def error(expected: float, happened: float) -> float:
    """Return the factor of error.

    >>> error(1.0, 2.0), error(2.0, 1.0), error(3.0, 3.0)
    (2.0, 2.0, 1.0)
    """
    low, high = sorted((expected, happened))
    return high / max(low, 1e-9)


def run() -> list[Row]:
    """Make what is missing, a process a case, and return the rows."""
    for name in cases():
        _kept(name)
    return rows()


def _kept(name: str) -> dict[str, Any]:
    return kept(KEPT, name, lambda: fresh("bench.estimates", "run", name))


def rows() -> list[Row]:
    """Return a row a case that was measured, and median and worst error of each quantity."""
    found, errors = [], dict[str, list[tuple[float, str]]]()
    for name in cases():
        if not place_of(KEPT, name).exists():
            continue
        fact = _kept(name)
        expected, happened = fact["expected"], fact["happened"]
        parts = [part for part in fact["parts"] if part["happened"] is not None]
        for what in QUANTITIES:
            errors.setdefault(what, []).append((error(expected[what], happened[what]), name))
        errors.setdefault("what was done", []).append((error(*_done(fact)), name))
        used = fact["processor"]["expected"], fact["processor"]["happened"]
        errors.setdefault("processor", []).append((error(*used), name))
        for part in (part for part in parts if part["method"] and part["happened"] > 1.0):
            both = part["seconds"], part["happened"]
            errors.setdefault(part["method"], []).append((error(*both), name))
        found.append(_row(name, fact, parts))
    return found + [_summary(what, those) for what, those in errors.items()]


def _done(fact: dict[str, Any]) -> tuple[float, float]:
    """Return expected and happened seconds of the parts that were done."""
    parts = [part for part in fact["parts"] if part["happened"] is not None]
    return sum(part["seconds"] for part in parts), sum(part["happened"] for part in parts)


def _row(name: str, fact: dict[str, Any], parts: list[dict[str, Any]]) -> Row:
    expected, happened = fact["expected"], fact["happened"]
    note = [f"{what} {expected[what]:.0f} / {happened[what]:.0f} MB" for what in ("memory", "disk")]
    note += [f"{part['what']} {part['seconds']:.1f} / {part['happened']:.1f} s" for part in parts]
    used = fact["processor"]
    note.append(f"processor {used['expected']:.0f} / {used['happened']:.0f} s")
    note.append(f"budget {fact['budget']:.0f} s")
    return Row(
        what=name, ours=expected["seconds"], theirs=happened["seconds"],
        ratio=error(expected["seconds"], happened["seconds"]), target=None,
        note=f"{fact['leaf']}; {'; '.join(note)}",
    )  # fmt: skip


def _summary(what: str, errors: list[tuple[float, str]]) -> Row:
    """Return median and worst factor of error as the columns ours and theirs."""
    middle, (worst, where) = median(value for value, _ in errors), max(errors)
    return Row(
        what=f"error of {what}, median and worst of {len(errors)}", ours=middle, theirs=worst,
        ratio=middle, target=None, unit="x", note=f"the worst is {where}",
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    match arguments:
        case ["table"]:
            print(show(rows()))
        case ["keep", *names]:
            for name in names or cases():
                print(name, json.dumps(_kept(name)), flush=True)
        case ["run", name]:
            print(json.dumps(measured(name)))
        case _:
            raise SystemExit("usage: python -m bench.estimates table | keep [CASE ...] | run CASE")


if __name__ == "__main__":
    main(sys.argv[1:])
