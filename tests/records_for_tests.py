"""Realistic RunRecords, the same every time: what a real run on real data might have written."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.records import (
    Advice,
    AdviceNode,
    AdviceTurn,
    Cost,
    DataFacts,
    Estimate,
    Interval,
    Result,
    RunRecord,
    Verdict,
)

CLOTHES = [
    "dress",
    "hat",
    "longsleeve",
    "outwear",
    "pants",
    "shirt",
    "shoes",
    "shorts",
    "skirt",
    "t-shirt",
]
MOBILENET = "local:../shared/models/mobilenet_v2_100_224"
SIZE = 372  # test examples
ACCURACY = {
    "finetune: mobilenet_v2_100_224": 0.8817,
    "probe: mobilenet_v2_100_224": 0.8656,
    "from scratch: mobilenet_v2_100_224": 0.5591,
    "simple: colour-texture": 0.4946,
    "majority": 0.1801,
}
PHASES = [{"name": "head", "steps": 200}, {"name": "last stages", "steps": 400}]
METHODS = ["finetune", "probe", "from scratch", "simple", "majority"]


def interval(value: float, half: float, *, top: float = 1.0) -> Interval:
    return Interval(value=value, low=max(0.0, value - half), high=min(top, value + half))


def scores(accuracy: float) -> dict[str, Interval]:
    half = 1.96 * (accuracy * (1 - accuracy) / SIZE) ** 0.5
    return {
        "accuracy": interval(accuracy, half),
        "balanced_accuracy": interval(0.98 * accuracy, 1.1 * half),
        "f1_macro": interval(0.975 * accuracy, 1.15 * half),
        "f1_weighted": interval(0.99 * accuracy, half),
        "precision_macro": interval(0.985 * accuracy, 1.1 * half),
        "recall_macro": interval(0.98 * accuracy, 1.1 * half),
        "roc_auc": interval(0.5 + 0.55 * accuracy * 0.9, 0.4 * half),
        "log_loss": interval(2.4 * (1 - accuracy) ** 1.2, 3 * half, top=9.0),
    }


def curve(steps: int, start: float, end: float, best: float, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = []
    for step in range(0, steps + 1, steps // 20):
        done = step / steps
        loss = end + (start - end) * np.exp(-4 * done) + 0.02 * rng.random()
        held = best + (start - best) * np.exp(-4.5 * done) + 0.03 * rng.random() + 0.2 * done**3
        made.append(
            {"step": step, "loss": round(float(loss), 4), "validation": round(float(held), 4)}
        )
    return made


def classification_results() -> list[Result]:
    results = []
    for (name, accuracy), method in zip(ACCURACY.items(), METHODS, strict=True):
        trained = {
            "finetune": 2_236_682,
            "probe": 12_810,
            "from scratch": 2_236_682,
            "simple": 3_210,
        }
        details: dict[str, Any] = {"strength": 0.01} if method in ("probe", "simple") else {}
        if method == "finetune":
            details = {
                "steps": 600,
                "curve": curve(600, 2.3, 0.12, 0.29, 1),
                "phases": PHASES,
            }
        if method == "from scratch":
            details = {"steps": 600, "curve": curve(600, 2.3, 1.1, 1.2, 2)}
        results.append(
            Result(
                name=name,
                role="candidate" if method in ("finetune", "probe") else "baseline",
                model=MOBILENET if "mobilenet" in name else None,
                method=method,
                metrics=scores(accuracy),
                validation={"accuracy": round(accuracy + 0.004, 4)},
                seconds={"extract": 21.4, "fit": 0.8, "predict": 5.3}
                if method == "probe"
                else {"fit": 148.2 if "mobilenet" in name else 0.4, "predict": 0.2},
                parameters={"total": 2_236_682, "trained": trained.get(method, 0)}
                if method != "majority"
                else {},
                details=details,
            )
        )
    return results


def matrix(labels: list[str], accuracy: float, examples: int, seed: int) -> list[list[int]]:
    """Return counts, true by predicted, with most mistakes between neighbouring classes."""
    rng = np.random.default_rng(seed)
    n = len(labels)
    rows = []
    for i in range(n):
        chances = np.full(n, 0.1 * (1 - accuracy) / n)
        chances[(i + 1) % n] += 0.6 * (1 - accuracy)
        chances[(i + 3) % n] += 0.3 * (1 - accuracy)
        chances[i] += 1 - chances.sum()
        rows.append([int(c) for c in rng.multinomial(examples, chances)])
    return rows


def class_scores(labels: list[str], counts: list[list[int]]) -> dict[str, dict[str, float]]:
    table = np.array(counts, dtype=float)
    found = {}
    for i, label in enumerate(labels):
        precision = table[i, i] / max(1.0, table[:, i].sum())
        recall = table[i, i] / max(1.0, table[i].sum())
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        found[label] = {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "support": table[i].sum(),
        }
    return found


def data_facts(labels: list[str]) -> DataFacts:
    per_class = {label: 260 - 17 * (i % 12) for i, label in enumerate(labels)}
    return DataFacts(
        name="clothing_small",
        source="../shared/data/clothing_small",
        modality="image",
        fingerprint="9f2c54a0b7e1d3c8a6f09b1e2d4c7a85",
        counts={"train": 3068, "validation": 341, "test": SIZE},
        class_counts={"train": per_class, "test": {k: v // 6 for k, v in per_class.items()}},
        quarantined=3,
        unlabelled=12,
        said=[
            "10 sub-folders of pictures: one class each.",
            "The data's own parts are used: train, validation, test.",
            "2 files are no examples and were passed over: README.md, .DS_Store.",
        ],
    )


def classification(labels: list[str] | None = None, **changes: Any) -> RunRecord:
    """Return a finished run: 10 classes of clothes, transfer helps, fine-tuning chosen."""
    labels = labels or CLOTHES
    results = classification_results()
    counts = matrix(labels, 0.88, SIZE // len(labels), 7)
    results[0] = results[0].model_copy(update={"per_class": class_scores(labels, counts)})
    values: dict[str, Any] = {
        "headstart": "0.1.0",
        "status": "done",
        "created": "2026-11-21T09:15:42Z",
        "seconds": 353.7,
        "task": "classification",
        "labels": labels,
        "primary_metric": "accuracy",
        "data": data_facts(labels),
        "chosen": results[0].name,
        "verdict": Verdict(
            answer="helps",
            against="from scratch: mobilenet_v2_100_224",
            candidate=results[0].name,
            metric="accuracy",
            difference=Interval(value=0.3226, low=0.2688, high=0.3763),
            words="Transfer helps: fine-tuning mobilenet_v2_100_224 gets 32.3 points more of the "
            "test examples right than the best model without pretraining.",
        ),
        "results": results,
        "machine": {"cores": 2, "device": "cpu", "precision": "float32", "torch": "2.13.0"},
        "notes": ["2 pictures appear in both train and test; they were left in."],
        "confusion": {results[0].name: counts},
    }
    return RunRecord.model_validate({**values, **changes})


def verdict(
    answer: str, value: float, low: float, high: float, metric: str = "accuracy"
) -> Verdict:
    return Verdict.model_validate(
        {
            "answer": answer,
            "against": "simple: colour-texture",
            "candidate": "probe: mobilenet_v2_100_224",
            "metric": metric,
            "difference": {"value": value, "low": low, "high": high},
            "words": f"Words for {answer}.",
        }
    )


def unfinished(status: str = "interrupted") -> RunRecord:
    """Return a run that never came to open the test part."""
    results = [r.model_copy(update={"metrics": {}}) for r in classification_results()[1:]]
    return classification(status=status, results=results, chosen=None, verdict=None, confusion=None)


def regression() -> RunRecord:
    """Return a finished run where a simple model is as good and a scratch model is wild."""
    values = {
        "probe: minilm": (0.412, 812.4),
        "simple: tf-idf": (0.405, 820.1),
        "mean": (-0.002, 1240.7),
        "from scratch: minilm": (-6.31, 4120.0),
    }
    results = [
        Result(
            name=name,
            role="candidate" if name.startswith("probe") else "baseline",
            model="hf:sentence-transformers/all-MiniLM-L6-v2" if "minilm" in name else None,
            method=name.split(":")[0],
            metrics={
                "r2": Interval(value=r2, low=r2 - 0.061, high=r2 + 0.058),
                "mae": Interval(value=mae, low=0.93 * mae, high=1.08 * mae),
                "rmse": Interval(value=1.3 * mae, low=1.2 * mae, high=1.42 * mae),
            },
            seconds={"fit": 1.2},
        )
        for name, (r2, mae) in values.items()
    ]
    facts = data_facts(["price"]).model_copy(
        update={"name": "prices", "modality": "text", "class_counts": {}, "quarantined": 0}
    )
    judged = verdict("no clear difference", 0.007, -0.018, 0.033, "r2")
    judged = judged.model_copy(update={"against": "simple: tf-idf", "candidate": "probe: minilm"})
    return classification(
        ["price"],
        task="regression",
        primary_metric="r2",
        data=facts,
        results=results,
        chosen="probe: minilm",
        verdict=judged,
        confusion=None,
    )


def multi_label() -> RunRecord:
    """Return a finished run with several labels an example, where transfer hurts."""
    labels = ["indoor", "people", "night", "water"]
    per_class = {
        x: {"precision": 0.7, "recall": 0.61, "f1": 0.652, "support": 90.0} for x in labels
    }
    results = [
        Result(
            name=name,
            role=role,
            model=None,
            method=name.split(":")[0],
            per_class=per_class,
            metrics={"f1_micro": interval(f1, 0.03), "subset_accuracy": interval(f1 / 2, 0.04)},
        )
        for name, role, f1 in (
            ("probe: yamnet", "candidate", 0.61),
            ("simple: mfcc", "baseline", 0.67),
            ("majority", "baseline", 0.31),
        )
    ]
    judged = verdict("hurts", -0.06, -0.1, -0.02, "f1_micro")
    judged = judged.model_copy(update={"against": "simple: mfcc", "candidate": "probe: yamnet"})
    return classification(
        labels,
        task="multi-label",
        primary_metric="f1_micro",
        results=results,
        chosen="simple: mfcc",
        verdict=judged,
        confusion=None,
        notes=[],
    )


def many_classes(
    count: int = 40, name: str = "a kind of thing with a rather long name"
) -> RunRecord:
    """Return a finished run with many classes of long names."""
    return classification([f"{name} {i:02d}" for i in range(count)])


def advice(text: str = "Full fine-tuning", **changes: Any) -> Advice:
    """Return advice of two turns, with `text` wherever a text can stand."""
    leaves = [
        AdviceNode(id="full", text=text, answer="yes", taken=True),
        AdviceNode(id="frozen", text="Frozen features", answer="no"),
    ]
    end = AdviceNode(id="left", text="Enough?", answer="yes", taken=True, branches=leaves)
    start = AdviceNode(id="labels", text=text, taken=True, branches=[end])
    turn = AdviceTurn(question=text, answer="yes", took="yes", values=[text], reason=text)
    part = Estimate(what=text, method="finetune", model=MOBILENET, seconds=120, happened=148.2)
    values: dict[str, Any] = {
        "leaf": "full", "title": text, "words": text, "methods": ["finetune"], "turns": [turn],
        "not_built": [text], "unanswered": [text], "tree": start, "assumption": text,
        "estimates": [part, Estimate(what="test part", seconds=3)], "notes": [text],
        "estimated": Cost(seconds=123, memory=3893, disk=19.7, grams=0.5),
        "happened": Cost(seconds=353.7, disk=17.1, grams=1400.0),
    }  # fmt: skip
    return Advice.model_validate(values | changes)
