"""`headstart rank` against the truth: eight models, fine-tuned in full on five sets of pictures.

The truth is test accuracy after a plain recipe in torch that was fixed before anything was
measured, the same for all models: every weight moves, new linear head, AdamW, peak rate 3e-4 with
cosine decay, batch 32, EPOCHS epochs, no augmentation, the last epoch counts. The two ONNX models
stay frozen in Headstart, so there their torch twins (bench/onnx_models.py) are fine-tuned. Sets are
cut to ROWS training examples, so that one fine-tuning takes about a minute.

Seconds are of the processor (one thread), since others may use the machine beside it. Every piece
is kept as JSON in .bench/ranking, and the benchmark goes on where it was stopped; delete the
folder to measure anew. One piece alone: `python -m bench.ranking keep tune SET MODEL`, or
`keep rank SET all`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.cases import SHARED
from bench.fresh import ROOT, fresh, kept
from bench.ranking_data import SETS, opened
from bench.table import Row, below
from headstart.ranking.agreement import regret, weighted_tau

NAME = "ranking"
KEPT = ROOT / ".bench" / "ranking"
EPOCHS, BATCH, RATE, DECAY = 8, 32, 3e-4, 0.01
LEAST_TAU, MOST_REGRET, CHEAPER = 0.75, 1.0, 20.0
RAW = ("squeezenet1_1", "darknet_tiny")
FOLDERS = ("mobilenet_v1_025_128", "mobilenet_v1_050_160", "mobilenet_v1_075_192",
           "mobilenet_v2_100_224", "mobilenet_v2_inat_bird")  # fmt: skip
UNTRAINED = "random"
MODELS = (*FOLDERS, *RAW, UNTRAINED)


def id_of(model: str) -> str:
    """Return the id that Headstart opens a model by; ONNX files are made when first needed."""
    if model == UNTRAINED:
        return f"random:{SHARED / 'models' / FOLDERS[1]}"
    if model in FOLDERS:
        return str(SHARED / "models" / model)
    path = KEPT / "onnx" / f"{model}.onnx"
    if not path.exists():
        from bench.onnx_models import convert

        convert(model, path.parent)
    return f"onnx:{path}"


def tune(name: str, model: str) -> dict[str, Any]:
    """Fine-tune one model in full; returns test accuracy and seconds of the processor."""
    import torch

    torch.set_num_threads(1)
    train, inputs, truth = opened(name, KEPT / "data")
    backbone, module, embed = _trainable(model)
    start = time.process_time()
    pictures = _pictures(backbone, train.inputs)
    decoded = time.process_time() - start
    targets = torch.from_numpy(np.asarray(train.targets, np.int64))
    head = torch.nn.Linear(backbone.width, train.task.outputs)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    module.requires_grad_(True).train()
    weights = [*module.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=DECAY)
    total = EPOCHS * -(-len(targets) // BATCH)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=total, pct_start=0.1)
    order = np.random.default_rng(0)
    for _ in range(EPOCHS):
        rows = torch.from_numpy(order.permutation(len(targets)))
        for part in rows.split(BATCH):
            outputs = head(embed(pictures[part]))
            loss = torch.nn.functional.cross_entropy(outputs, targets[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            plan.step()
    seconds = time.process_time() - start
    module.eval()
    with torch.no_grad():
        said = torch.cat([head(embed(p)) for p in _pictures(backbone, inputs).split(BATCH)])
    right = float((said.argmax(1).numpy() == truth).mean())
    return {"accuracy": right, "seconds": seconds, "decoding": decoded, "rows": len(targets)}


def _trainable(model: str) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Return (backbone that prepares pictures, module to train, pixels to embeddings)."""
    from headstart.sources import load

    backbone: Any = load(id_of(model))
    if model in RAW:
        from bench.onnx_models import network

        twin = network(model)
        return backbone, twin, lambda pixels: twin(pixels)[0]
    return backbone, backbone.module, lambda pixels: backbone.embed({"pixel_values": pixels})


def _pictures(backbone: Any, inputs: Any) -> Any:
    """Return all pictures (n, 3, height, width), as the model was trained to see them."""
    import torch

    from headstart.data.modality import modality

    decode = modality("image").decode
    decoded = [decode(item, backbone.spec) for item in inputs.items]
    parts = [decoded[at : at + BATCH] for at in range(0, len(decoded), BATCH)]
    return torch.cat([next(iter(backbone.preprocess(part).values())) for part in parts])


def ranked(name: str) -> dict[str, Any]:
    """Rank all models as `headstart rank` does; the store of features is empty before."""
    from headstart.ranking.rank import rank
    from headstart.sources import load

    train, _, _ = opened(name, KEPT / "data")
    ids = {id_of(model): model for model in MODELS}
    start = time.process_time()
    found = rank(train, list(ids))
    seconds = time.process_time() - start
    return {
        "seconds": seconds,
        "weight": found.weight,
        "prior_parts": found.prior_parts,
        "skipped": [one.reason for one in found.skipped],
        "models": {
            ids[one.model]: {
                "place": one.place, "combined": one.combined, "prior": one.prior, "best": one.best,
                "scores": one.scores, "parameters": load(one.model).card.parameters,
            }
            for one in found.models
        },
    }  # fmt: skip


def measured(side: str, name: str, model: str) -> dict[str, Any]:
    """Return one piece, made in a fresh process with an empty store where it is not there."""
    make = partial(fresh, "bench.ranking", side, name, model)
    return kept(KEPT, f"{side}-{name}-{model}", make)


def run() -> list[Row]:
    rows, facts = [], []
    for name in SETS:
        truth = {model: measured("tune", name, model) for model in MODELS}
        facts.append(judged(truth, measured("rank", name, "all")))
        print(table(name, truth, measured("rank", name, "all"), facts[-1]), flush=True)
    mean = {key: float(np.mean([one[key] for one in facts])) for key in facts[0]}
    each = {key: " ".join(f"{one[key]:.2f}" for one in facts) for key in facts[0]}
    rows.append(
        Row(what="weighted tau with fine-tuned accuracy", ours=mean["tau"], theirs=LEAST_TAU,
            ratio=mean["tau"] / LEAST_TAU, target=1.0, unit="", note=each["tau"])
    )  # fmt: skip
    rows.append(
        Row(what="weighted tau beside the static prior", ours=mean["tau"], theirs=mean["list"],
            ratio=mean["tau"] / mean["list"], target=1.0, unit="", note=f"prior {each['list']}")
    )  # fmt: skip
    rows.append(
        Row(what="weighted tau without shared places", ours=mean["strict"], theirs=mean["reach"],
            ratio=mean["strict"] / mean["reach"], target=None, unit="",
            note=f"{each['strict']}; the right order reaches {each['reach']}")
    )  # fmt: skip
    lost = f"{each['regret']}; prior {each['list_regret']}"
    rows.append(below("regret of the top pick", mean["regret"], MOST_REGRET, lost, "points"))
    spent, cost = (sum(one[key] for one in facts) for key in ("tuning", "ranking"))
    rows.append(
        Row(what="ranking beside fine-tuning all", ours=cost, theirs=spent, ratio=spent / cost,
            target=CHEAPER, note=each["cheaper"])
    )  # fmt: skip
    return rows


def judged(truth: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    """Return what one set says of the ranking and of the static list."""
    accuracy = np.array([100 * truth[model]["accuracy"] for model in MODELS])
    ours = np.array([found["models"][model]["combined"] for model in MODELS])
    theirs = np.array([found["models"][model]["prior"] or 0.0 for model in MODELS])
    tuning = sum(one["seconds"] for one in truth.values())
    # The same order without shared places: what a ranking that must give every model a place of
    # its own gets. Models that are equal once fine-tuned bound it; the right order shows by what.
    order = list(found["models"])
    strict = np.array([-float(order.index(model)) for model in MODELS])
    right = np.argsort(np.lexsort((strict, accuracy))).astype(float)
    return {
        "tau": weighted_tau(ours, accuracy), "list": weighted_tau(theirs, accuracy),
        "strict": weighted_tau(strict, accuracy), "reach": weighted_tau(right, accuracy),
        "regret": regret(ours, accuracy), "list_regret": regret(theirs, accuracy),
        "tuning": tuning, "ranking": found["seconds"], "cheaper": tuning / found["seconds"],
    }  # fmt: skip


def table(name: str, truth: dict[str, Any], found: dict[str, Any], fact: dict[str, float]) -> str:
    """Return one set as plain text, best first by the ranking."""
    lines = [f"-- {name}: tau {fact['tau']:.2f} (prior {fact['list']:.2f}), regret "
             f"{fact['regret']:.1f} ({fact['list_regret']:.1f}) points",
             "model                     combined  prior  fine-tuned  seconds"]  # fmt: skip
    for model, one in found["models"].items():  # best first
        real = truth[model]
        lines.append(
            f"{model:24}  {one['combined']:8.2f}  {one['prior'] or 0.0:5.2f}  "
            f"{real['accuracy']:10.3f}  {real['seconds']:7.0f}"
        )
    return "\n".join([*lines, f"ranking: {found['seconds']:.0f} s, {found['prior_parts']}", ""])


def main(arguments: list[str]) -> None:
    keep = arguments[0] == "keep"
    side, name, model = arguments[1:] if keep else arguments

    def make() -> dict[str, Any]:
        return tune(name, model) if side == "tune" else ranked(name)

    print(json.dumps(kept(KEPT, f"{side}-{name}-{model}", make) if keep else make()))


if __name__ == "__main__":
    main(sys.argv[1:])
