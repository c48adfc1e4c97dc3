"""Advice against trying everything: is the advised way within a point of the best that was tried?

On every shared classification set (training cut to 2,000 examples, test to 2,000, so that two cores
can do it; all also with 8 labels a class, and with 32 where that leaves some out; some texts with
64). Tried, each within SECONDS: simple model, probe, few-shot tuning (texts), fine-tuning of the
whole, of the last third, and LoRA. Advised: what an automatic run would hand over, by held-out
training examples, of simple model, probe and what the leaf trains. Best: the highest accuracy on
the sealed test part of all that was tried, so by hindsight. Finished results are kept in
$HEADSTART_CACHE/bench/advice and not made again: `python -m bench.advice CASE [METHOD]` makes one,
`python -m bench.advice table` shows what there is, `python -m bench advice` makes all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import MINILM, MOBILENET, SHARED, YAMNET, Case, accuracy, digits_spoken
from bench.table import Row

NAME = "advice"
SECONDS = 90.0  # a method that trains
BUDGET = 600.0  # what the advice is told
MOST = 2000  # examples to train on, and to test on
WITHIN, SHARE = 0.01, 0.9  # the target: within a point, in so many cases
SMALL = str(SHARED / "models" / "mobilenet_v1_025_128")
METHODS = ("simple", "probe", "few-shot", "finetune", "partial", "lora")


@dataclass(frozen=True, slots=True)
class Told:
    """A case; `each`: labels a class that are left, None for all."""

    case: Case
    each: int | None = None


def _written_digits(name: str) -> Any:
    with np.load(SHARED / "data" / "digits" / f"{name}.npz") as file:
        rows = np.random.default_rng(0).permutation(len(file["y"]))[:4000]
        return list(file["x"][rows]), [str(label) for label in file["y"][rows]]


def _reviews(domain: str) -> Path:
    return SHARED / "data" / "amazon_reviews" / f"{domain}.tsv"


def told() -> dict[str, Told]:
    """Return the cases by name."""
    data = SHARED / "data"
    spoken = {"input": "path", "target": "label"}
    whole = [
        Case("hymenoptera", MOBILENET, data / "hymenoptera", {}),
        Case("blood_cells", MOBILENET, data / "blood_cells", {}),
        Case("clothing_small", MOBILENET, data / "clothing_small", {}),
        Case("digits", SMALL, partial(_written_digits, "mnist_train"), {}),
        Case("usps", SMALL, partial(_written_digits, "usps"), {}),
        Case("trec", MINILM, data / "trec", {}),
        Case("customer_reviews", MINILM, data / "customer_reviews", {}),
        Case("sst2", MINILM, data / "sst2", {}),
        Case("sms_spam", MINILM, data / "sms_spam" / "sms.tsv", {"input": "1", "target": "0"}),
        Case("reviews_books", MINILM, _reviews("books"), {}),
        Case("reviews_dvd", MINILM, _reviews("dvd"), {}),
        Case("reviews_kitchen", MINILM, _reviews("kitchen"), {}),
        Case("fsdd", YAMNET, digits_spoken, spoken),
        Case("instruments", YAMNET, data / "instruments", {}),
    ]
    found = {case.name: Told(case) for case in whole}
    scarce = {f"{name}-8": replace(one, each=8) for name, one in found.items()}
    more = set(found) - {"hymenoptera", "instruments"}  # which have hardly more a class
    found |= scarce | {f"{name}-32": replace(found[name], each=32) for name in sorted(more)}
    edge = ("trec", "customer_reviews", "sst2")  # where few-shot tuning gives way to fine-tuning
    return found | {f"{name}-64": replace(found[name], each=64) for name in edge}


def run() -> list[Row]:
    """Make what is missing, a process a case, and return a row a case."""
    for name in told():
        command = [sys.executable, "-m", "bench.advice", name]
        subprocess.run(command, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return rows()


def rows() -> list[Row]:
    """Return a row a case that is finished, and the share of them that are within a point."""
    found, near = [], []
    for name in told():
        facts = _read(name)
        if "handed over" not in facts or not set(facts["able"]) <= set(facts["test"]):
            continue
        test = facts["test"]
        best = max(test, key=lambda method: test[method])
        ours, theirs = test[facts["handed over"]], test[best]
        near.append(ours >= theirs - WITHIN - 1e-9)
        note = f"{facts['leaf']}; handed over {facts['handed over']}, best {best}; " + ", ".join(
            f"{method} {value:.3f}" for method, value in test.items()
        )
        found.append(
            Row(what=name, ours=ours, theirs=theirs, ratio=ours / theirs, target=None,
                unit="", note=f"gap {100 * (theirs - ours):.1f} points; {note}")
        )  # fmt: skip
    if near:
        share = float(np.mean(near))
        found.append(
            Row(what=f"within {100 * WITHIN:g} point, share of {len(near)} cases", ours=share,
                theirs=SHARE, ratio=share / SHARE, target=1.0, unit="")
        )  # fmt: skip
    return found


def _place(name: str) -> Path:
    from headstart.features.store import cache_folder

    return cache_folder() / "bench" / "advice" / name


def _read(name: str) -> dict[str, Any]:
    path = _place(name) / "facts.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _write(name: str, facts: dict[str, Any]) -> None:
    path = _place(name) / "facts.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=2), "utf-8")


def opened(one: Told) -> tuple[Any, Any, Any]:
    """Return (training data, inputs and targets of the test part), cut as told."""
    from headstart.compute.randomness import rng_for
    from headstart.data.load import open_dataset

    data = one.case.data() if callable(one.case.data) else one.case.data
    splits = open_dataset(data, **one.case.options).splits
    train, rng = splits.train, rng_for(0, "bench advice")
    order = rng.permutation(len(train))
    if one.each is not None:
        order = np.concatenate(
            [
                order[train.targets[order] == label][: one.each]
                for label in range(train.task.outputs)
            ]
        )
    asked = np.sort(rng.permutation(len(splits.test))[:MOST])
    truth = splits.test.targets.open()[asked]
    return train.take(np.sort(order[:MOST])), splits.test.inputs.take(asked), truth


def make(name: str, wanted: tuple[str, ...]) -> None:
    """Make what is missing of a case, and note what is advised once simple model and probe are."""
    from headstart.adapt import BASELINES, Choosy, FewShot, FineTune, Probe
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.machine import machine
    from headstart.run.choosing import Entry
    from headstart.run.kept import once
    from headstart.run.scene import Scene
    from headstart.sources import load

    machine()
    one = told()[name]
    train, inputs, truth = opened(one)
    source = BackboneFeaturiser(load(one.case.model))
    scene = Scene(train, None, len(inputs), [source], BUDGET, 0)
    methods: dict[str, Any] = {
        "simple": next(method for method in BASELINES if method.name == "simple"),
        "probe": Probe(head="auto"), "few-shot": FewShot(), "finetune": FineTune(),
        "partial": FineTune(depth=0.34), "lora": FineTune(techniques=("lora",)),
    }  # fmt: skip
    context = replace(scene.context(source), seconds=SECONDS)
    facts = _read(name) or {"test": {}, "seconds": {}}
    few = isinstance(methods["few-shot"], Choosy) and train.task.name == "classification"
    facts["able"] = [m for m in METHODS if m != "few-shot" or (few and one.case.model == MINILM)]
    entries: dict[str, Entry] = {}
    for method in facts["able"]:
        if method not in ("simple", "probe", *wanted):
            continue
        own = methods[method]
        trained = once(method, _place(name), lambda own=own: own.adapt(context))  # type: ignore[misc]
        role = "baseline" if method == "simple" else "candidate"
        entries[method] = Entry(role, one.case.model, own, trained)
        if method not in facts["test"]:
            facts["test"][method] = accuracy(trained.adapted.scores(inputs), truth)
            facts["seconds"][method] = round(sum(trained.seconds.values()), 2)
        _write(name, facts)
        print(name, method, f"{facts['test'][method]:.4f}", facts["seconds"][method], flush=True)
    if set(entries) == set(facts["able"]):
        _write(name, facts | _handed_over(scene, source, entries))


def _handed_over(scene: Any, source: Any, entries: dict[str, Any]) -> dict[str, Any]:
    """Ask the tree, and choose among what it names on held-out training examples."""
    from headstart.compute.randomness import rng_for
    from headstart.run.advising import Guide
    from headstart.run.handing import handed_over

    solved = [entries["simple"], entries["probe"]]
    advice = Guide(scene).decide(solved, source, 0.8 * BUDGET)
    names = {"few-shot": "few-shot", "finetune": "finetune"}
    if "techniques" in advice.settings.get("finetune", {}):
        names["finetune"] = "lora"
    elif "depth" in advice.settings.get("finetune", {}):
        names["finetune"] = "partial"
    tried = ["simple", "probe", *(names[m] for m in advice.methods if names[m] in entries)]
    hand = handed_over(
        [entries[method] for method in tried], scene.data, rng=rng_for(0, "hand over"),
        favoured=advice.favoured, because=advice.favoured_because,
    )  # fmt: skip
    handed = next(method for method in tried if entries[method] is hand.chosen)
    return {"leaf": advice.leaf, "advised": tried, "handed over": handed, "why": hand.because}


if __name__ == "__main__":
    if sys.argv[1] == "table":
        from bench.table import show

        print(show(rows()))
    else:
        make(sys.argv[1], tuple(sys.argv[2:]) or METHODS)
