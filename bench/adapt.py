"""The automatic choice of technique against the Trainer's default recipe, on the same weights.

Three seeds; both sides have the same labelled examples and one core. The Trainer (batch 8, see
rival.py) trains on all of them, since it validates nothing; where the data has a validation part
of its own, that part is left out, and ours chooses by it. Ours is what `transfer --method auto`
does to choose: the probe, then each method that suits the data, and the best on validation.
Seconds are of the processor, all threads: others may use the machine beside it.

Every measurement is a fresh process and is kept as JSON in .bench/adapt, so that the benchmark
goes on where it was stopped; delete the folder to measure anew.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import MINILM, MOBILENET, SHARED, YAMNET, Case, accuracy
from bench.fresh import ROOT, fresh, kept
from bench.table import Row

NAME = "adapt"
SEEDS = (0, 1, 2)
FASTER = 5.0
SECONDS = 3600.0
KEPT = ROOT / ".bench" / "adapt"
DATA = SHARED / "data"
SMALLER = str(SHARED / "models" / "mobilenet_v1_050_160")  # a tenth of MobileNetV2's time

CASES = {
    "clothing_small": (Case("clothing_small", MOBILENET, DATA / "clothing_small", {}), None),
    "blood_cells": (Case("blood_cells", MOBILENET, DATA / "blood_cells", {}), None),
    "trec": (Case("trec", MINILM, DATA / "trec", {}), 2000),
    "sst2": (Case("sst2", MINILM, DATA / "sst2", {}), 2000),
    "instruments": (Case("instruments", YAMNET, DATA / "instruments", {}), None),
    "customer_reviews": (Case("customer_reviews", MINILM, DATA / "customer_reviews", {}), None),
    "trec, all": (Case("trec", MINILM, DATA / "trec", {}), None),
    # for ablation.py
    "clothing_small, 300": (Case("clothing_small", SMALLER, DATA / "clothing_small", {}), 300),
    "customer_reviews, 500": (
        Case("customer_reviews", MINILM, DATA / "customer_reviews", {}),
        500,
    ),
}
BATTLES = ("clothing_small", "blood_cells", "trec", "sst2", "instruments", "customer_reviews")
MANY_LABELS = 50  # a class, above which a point over the probe is asked for
GOALS = {"trec, all": 0.95, "customer_reviews": 0.90}


def run() -> list[Row]:
    rows: list[Row] = []
    gains = []
    for name in (*BATTLES, "trec, all"):
        ours = [measured("ours", name, str(seed)) for seed in SEEDS]
        if name in BATTLES:
            theirs = [measured("theirs", name, str(seed)) for seed in SEEDS]
            rows += _battle(name, ours, theirs)
            if ours[0]["labels_a_class"] > MANY_LABELS:
                gains += [one["test"] - one["probe_test"] for one in ours]
        if name in GOALS:
            reached = _mean(ours, "test")
            rows.append(_row(f"{name}: test accuracy", reached, GOALS[name], _all(ours, "test")))
    rows.append(
        Row(what="points over the probe, > 50 labels a class", ours=100 * float(np.mean(gains)),
            theirs=1.0, ratio=100 * float(np.mean(gains)), target=1.0, unit="points",
            note=" ".join(f"{100 * gain:+.1f}" for gain in gains))
    )  # fmt: skip
    return rows


def _battle(name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[Row]:
    seconds = [sum(one["cpu"] for one in side) / len(side) for side in (ours, theirs)]
    chosen = ", ".join(one["chosen"] for one in ours)
    return [
        _row(f"{name}: accuracy", _mean(ours, "test"), _mean(theirs, "test"),
             f"ours {_all(ours, 'test')} ({chosen}; probe {_all(ours, 'probe_test')}), "
             f"theirs {_all(theirs, 'test')}"),
        Row(what=f"{name}: time", ours=seconds[0], theirs=seconds[1], target=FASTER,
            ratio=seconds[1] / seconds[0]),
    ]  # fmt: skip


def _row(what: str, ours: float, theirs: float, note: str) -> Row:
    return Row(
        what=what, ours=ours, theirs=theirs, ratio=ours / theirs, target=1.0, unit="", note=note
    )


def _mean(found: list[dict[str, Any]], key: str) -> float:
    return float(np.mean([one[key] for one in found]))


def _all(found: list[dict[str, Any]], key: str) -> str:
    return " ".join(f"{one[key]:.3f}" for one in found)


def measured(*arguments: str, module: str = "bench.adapt", folder: Path = KEPT) -> dict[str, Any]:
    """Return the measurement `arguments`, from disk or from a fresh process."""
    return kept(folder, "-".join(arguments), lambda: fresh(module, *arguments))


def opened(name: str, seed: int) -> tuple[Any, np.ndarray | None, Any]:
    """Return (data, its own validation rows or None, test part): at most so many training rows.

    The seed draws the training rows, and the test part where the data has none.
    """
    from headstart.compute.randomness import rng_for
    from headstart.data.dataset import joined

    case, most = CASES[name]
    splits = case.open(seed).splits
    training = splits.train
    if most is not None:
        rng = rng_for(seed, "bench/adapt")
        training = training.take(np.sort(rng.permutation(len(training))[:most]))
    if splits.validation is None:
        return training, None, splits.test
    data = joined(training, splits.validation)
    return data, np.arange(len(training), len(data)), splits.test


def theirs(name: str, seed: int) -> dict[str, Any]:
    from bench.rival import trained

    data, own, test = opened(name, seed)
    rows = np.arange(len(data))
    training = rows if own is None else np.setdiff1d(rows, own)
    held = rows[:32] if own is None else own
    return trained(CASES[name][0], data, training, held, test, batch=8, seed=seed)


def context_for(name: str, seed: int) -> tuple[Any, Any]:
    """Return (what methods are given, the test part)."""
    from headstart.adapt import Context, held_out
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.machine import machine
    from headstart.sources import load

    machine()
    data, own, test = opened(name, seed)
    folds, validation = held_out(data, own, seed)
    source = BackboneFeaturiser(load(CASES[name][0].model))
    return Context(data, folds, validation, seed, SECONDS, source), test


def ours(name: str, seed: int) -> dict[str, Any]:
    """Choose as `transfer --method auto` does, and open the test part for what came of it."""
    from headstart.adapt import BASELINES, BUILTIN
    from headstart.compute.randomness import rng_for
    from headstart.run.advising import Guide
    from headstart.run.choosing import Entry
    from headstart.run.handing import handed_over
    from headstart.run.kept import slug
    from headstart.run.scene import Scene

    context, test = context_for(name, seed)
    data, source = context.data, context.source
    own = None if context.folds is None or context.folds.apart is None else context.validation
    simple, probe = next(m for m in BASELINES if m.name == "simple"), BUILTIN[0]
    behind = Entry("baseline", None, simple, simple.adapt(context))  # is evidence, and not timed
    start, spent = time.perf_counter(), time.process_time()
    guide = Guide(Scene(data, own, len(test), [source], SECONDS, seed))
    looked = time.process_time() - spent
    entries = [Entry("candidate", source.backbone.card.id, probe, probe.adapt(context))]
    advice = guide.decide([behind, *entries], source, SECONDS)
    seconds = {"advice": looked, "probe": time.process_time() - spent - looked}
    for method in (m for m in BUILTIN if m.name in advice.methods):
        begun = time.process_time()
        advised = advice.settings.get(slug(method.name), {})
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in advised.items()}
        made = replace(method, **settings)  # type: ignore[type-var]
        entries.append(Entry("candidate", None, made, made.adapt(context)))
        seconds[method.name] = time.process_time() - begun
    chosen = handed_over(
        [behind, *entries], data, rng=rng_for(seed, "hand over"), favoured=advice.favoured,
        because=advice.favoured_because,
    ).chosen  # fmt: skip
    wall, cpu = time.perf_counter() - start, time.process_time() - spent
    truth = test.targets.open()
    tests = {
        entry.method.name: accuracy(entry.trained.adapted.scores(test.inputs), truth)
        for entry in [behind, *entries]
    }
    return {
        "seconds": wall, "cpu": cpu, "by_method": seconds, "chosen": chosen.method.name,
        "leaf": advice.leaf, "test": tests[chosen.method.name], "probe_test": tests["probe"],
        "tests": tests, "labels_a_class": float(np.median(np.bincount(data.targets))),
        "details": {e.method.name: e.trained.details.get("curve") for e in entries},
    }  # fmt: skip


def tuned(name: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Fine-tune with `settings` in place of the defaults; validation accuracy too."""
    from headstart.adapt import FineTune

    context, test = context_for(name, seed)
    assert context.source is not None
    context.source.features(context.data.inputs)
    spent = time.process_time()
    made = replace(FineTune(), **settings).adapt(context)
    cpu = time.process_time() - spent
    held = accuracy(made.outputs, context.data.targets[made.rows])
    found = {"cpu": cpu, "validation": held, "curve": made.details["curve"]}
    right = made.adapted.scores(test.inputs).argmax(axis=1) == test.targets.open()
    return found | {"test": float(right.mean()), "right": right.astype(int).tolist()}


if __name__ == "__main__":
    what, case, number, *more = sys.argv[1:]
    if what == "tuned":
        settings = json.loads(more[0])
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
        print(json.dumps(tuned(case, int(number), settings)))
    else:
        print(json.dumps({"ours": ours, "theirs": theirs}[what](case, int(number))))
