"""The combination of scores on published tables, leave-one-data-set-out, beside static lists.

Fine-tuned accuracy: SFDA's table, 10 ImageNet networks on 8 data sets (and its 11 by 11 for the
static list alone). Scores: Model Spider's H-score, LEEP, LogME, NCE. Two priors:

- published: ImageNet top-1 accuracy and size, all that is known of a model nobody has tried; this
  is the prior of `headstart rank`.
- tried: mean rank of fine-tuned accuracy on the other data sets, which nobody has for new models.

Every row is a mean weighted Kendall tau; `theirs` is the static list of the same row.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from bench.cases import SHARED
from bench.table import Row
from headstart.ranking.agreement import regret, weighted_tau
from headstart.ranking.combine import SCATTER, TRUST, mean_score
from headstart.ranking.standard import standardised

NAME = "ranking_tables"
TABLES = SHARED / "data" / "ranking_tables"
SCORES = ("H-Score", "LEEP", "LogME", "NCE")
WEIGHTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
GIVEN = TRUST["accuracy"]  # what `headstart rank` gives the scores beside such a prior
# Their names for the data sets, as SFDA's table calls them.
ALSO = {"Aircraft": "aircraft", "Cars": "cars", "Caltech101": "caltech101", "CIFAR10": "cifar10",
        "CIFAR100": "cifar100", "DTD": "dtd", "Pet": "pets", "SUN397": "sun397"}  # fmt: skip
# ImageNet-1k top-1 accuracy (%) of torchvision's first weights, and millions of parameters: the
# table of torchvision's model page.
PUBLISHED = {
    "resnet34": (73.314, 21.80), "resnet50": (76.130, 25.56), "resnet101": (77.374, 44.55),
    "resnet152": (78.312, 60.19), "densenet121": (74.434, 7.98), "densenet169": (75.600, 14.15),
    "densenet201": (76.896, 20.01), "mnasnet1_0": (73.456, 4.38), "mobilenet_v2": (71.878, 3.50),
    "googlenet": (69.778, 6.62), "inception_v3": (77.294, 27.16),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Accuracy (D, M) of M models on D data sets, and scores (D, M) by name."""

    data: tuple[str, ...]
    models: tuple[str, ...]
    accuracy: np.ndarray
    scores: dict[str, np.ndarray]


def tuned() -> Table:
    """Return SFDA's whole table of fine-tuned accuracy, without scores."""
    found: dict[str, dict[str, float]] = {}
    for row in _rows(TABLES / "sfda_finetuned_accuracy.csv"):
        found.setdefault(row["dataset"], {})[row["model"]] = float(row["finetuned_accuracy"])
    data, models = tuple(found), tuple(next(iter(found.values())))
    return Table(data, models, np.array([[found[d][m] for m in models] for d in data]), {})


def scored() -> Table:
    """Return the data sets and models that have fine-tuned accuracy and scores."""
    whole = tuned()
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in _rows(TABLES / "model_spider_scores.csv"):
        found.setdefault(ALSO[row["Dataset"]], {})[row["Model"]] = row
    data = tuple(found)
    models = tuple(m for m in whole.models if m in found[data[0]])
    rows = [whole.data.index(d) for d in data]
    places = [whole.models.index(m) for m in models]
    scores = {
        name: np.array([[float(found[d][m][name]) for m in models] for d in data])
        for name in SCORES
    }
    return Table(data, models, whole.accuracy[np.ix_(rows, places)], scores)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def published(models: tuple[str, ...]) -> np.ndarray:
    """Return the prior (M,) of `headstart rank`: published accuracy and log size."""
    accuracy, size = np.array([PUBLISHED[m] for m in models]).T
    found: np.ndarray = (standardised(accuracy) + standardised(np.log10(size))) / 2
    return found


def tried(table: Table) -> np.ndarray:
    """Return, for every data set, the mean rank (D, M) on all others of SFDA's table."""
    whole = tuned()
    places = [whole.models.index(m) for m in table.models]
    ranks = np.array([rankdata(row[places]) for row in whole.accuracy])
    others = [[d != name for d in whole.data] for name in table.data]
    return np.array([ranks[keep].mean(axis=0) for keep in others])


def taus(scores: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Return the weighted tau (D,) of every data set."""
    return np.array([weighted_tau(s, a) for s, a in zip(scores, accuracy, strict=True)])


def mean_scores(table: Table) -> np.ndarray:
    """Return the mean of the scores (D, M) as `headstart rank` takes it."""
    return np.array(
        [mean_score({n: s[row] for n, s in table.scores.items()}) for row in range(len(table.data))]
    )


def left_out(table: Table, prior: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Weigh scores by what is best on the other data sets; returns (taus (D,), weights)."""
    every = np.array([taus(mixed(prior, scores, w), table.accuracy) for w in WEIGHTS])  # (W, D)
    weights, found = [], []
    for row in range(len(table.data)):
        others = np.delete(every, row, axis=1).mean(axis=1)
        best = int(others.argmax())
        weights.append(WEIGHTS[best])
        found.append(every[best, row])
    return np.array(found), weights


def mixed(prior: np.ndarray, scores: np.ndarray, weight: float) -> np.ndarray:
    found: np.ndarray = (1.0 - weight) * prior + weight * scores
    return found


def scatter(table: Table, combined: np.ndarray) -> float:
    """Return how far standardised accuracy lies from combined scores, root mean square."""
    truth = np.array([standardised(row) for row in table.accuracy])
    return float(np.sqrt(((truth - combined) ** 2).mean()))


def run() -> list[Row]:
    whole, table = tuned(), scored()
    rows = _static(whole)
    scores = mean_scores(table)
    known = np.tile(published(table.models), (len(table.data), 1))
    lists = tried(table)
    best = np.array([standardised(row) for row in lists])
    for name, values in [*table.scores.items(), ("mean of the four", scores)]:
        rows.append(_row(f"{name} alone, beside published", values, known, table))
    rows.append(_row("combined, beside published", mixed(known, scores, GIVEN), known, table))
    for name, prior in (("published", known), ("tried", best)):
        found, weights = left_out(table, prior, scores)
        base = taus(prior, table.accuracy).mean()
        note = f"weights of the scores, one left out: {weights}"
        rows.append(Row(what=f"learned weight, beside {name}", ours=float(found.mean()),
                        theirs=float(base), ratio=float(found.mean() / base), target=None,
                        unit="", note=note))  # fmt: skip
    rows.append(_row("combined, beside tried", mixed(best, scores, GIVEN), best, table))
    spread = scatter(table, mixed(known, scores, GIVEN))
    rows.append(Row(what="scatter around the combination (SCATTER)", ours=spread, theirs=SCATTER,
                    ratio=SCATTER / spread, target=None, unit="SD"))  # fmt: skip
    return rows


def _static(whole: Table) -> list[Row]:
    """The lists alone on all 11 data sets, as the README of the tables gives them."""
    accuracy, size = np.array([PUBLISHED[m] for m in whole.models]).T
    lists: list[tuple[str, Callable[[int], np.ndarray], float]] = [
        ("static list: tried on the others", lambda row: tried(whole)[row], 0.84),
        ("static list: ImageNet top-1", lambda row: accuracy, 0.65),
        ("static list: parameters", lambda row: size, 0.58),
    ]
    rows = []
    for name, values, stated in lists:
        table = np.array([values(row) for row in range(len(whole.data))])
        found = float(taus(table, whole.accuracy).mean())
        rows.append(Row(what=name, ours=found, theirs=stated, ratio=found / stated, target=None,
                        unit="", note="theirs: as the README of the tables says"))  # fmt: skip
    return rows


def _row(what: str, ours: np.ndarray, theirs: np.ndarray, table: Table) -> Row:
    mine, other = taus(ours, table.accuracy), taus(theirs, table.accuracy)
    lost = [np.mean([regret(s, a) for s, a in zip(side, table.accuracy, strict=True)])
            for side in (ours, theirs)]  # fmt: skip
    note = (
        f"regret {lost[0]:.2f} beside {lost[1]:.2f} points; better on "
        f"{int((mine > other + 1e-9).sum())}, worse on {int((mine < other - 1e-9).sum())} of "
        f"{len(mine)} data sets"
    )
    one, two = float(mine.mean()), float(other.mean())
    return Row(what=what, ours=one, theirs=two, ratio=one / two, target=None, unit="", note=note)
