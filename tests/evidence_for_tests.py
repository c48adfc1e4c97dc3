"""Records with every kind of evidence in them, made by the judge from scores that are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

import records_for_tests as samples
from headstart.data.task import TASKS
from headstart.evaluate import cross_validated, judge
from headstart.records import (
    Check,
    Diagnosis,
    HardExample,
    Interval,
    LabelCurve,
    Result,
    RunRecord,
    Sealed,
    SeedSpread,
    TaskFacts,
)

NAMES = {"majority": "baseline", "simple: pixels": "baseline", "from scratch: m": "baseline",
         "probe: m": "candidate"}  # fmt: skip
SIZE = 120
CURVE = [{"step": 0, "loss": 2.0}, {"step": 9, "loss": 1.0}]
LEAK = Check(name="leak", level="warning", words="Leak: row 7.", examples=[["row 7", "row 9"]])


def task(kind: str) -> TaskFacts:
    metrics = next(t.metrics for t in TASKS if t.name == kind)
    labels = ("speed",) if kind == "regression" else ("a", "b", "c")
    return TaskFacts(kind, labels, metrics)


def scores_of(kind: str, truth: np.ndarray, sharp: float, rng: np.random.Generator) -> np.ndarray:
    """Scores that know the truth the better, the higher `sharp` is; 0 knows nothing."""
    if kind == "regression":
        return truth * min(1.0, sharp / 3) + rng.normal(0, 3.0 / (1 + sharp), len(truth))
    one = np.eye(3)[truth] if truth.ndim == 1 else truth
    noise = rng.normal(0, 1.0, one.shape)
    if truth.ndim == 2:
        return 1 / (1 + np.exp(-(sharp * (2 * one - 1) + noise)))
    logits = sharp * one + noise
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def evidence(kind: str = "classification", *, groups: bool = True, **changes: Any) -> RunRecord:
    """A finished run that measured everything there is."""
    rng, facts = np.random.default_rng(4), task(kind)
    truth: np.ndarray = np.arange(SIZE) % 3
    if kind == "multi-label":
        truth = (rng.random((SIZE, 3)) < 0.4).astype(np.int64)
    if kind == "regression":
        truth = rng.normal(10, 4, SIZE)
    sharp = {"majority": 0.0, "simple: pixels": 1.2, "from scratch: m": 0.7, "probe: m": 3.0}
    scores = {name: scores_of(kind, truth, s, rng) for name, s in sharp.items()}
    ids = [f"row {i}" for i in range(SIZE)]
    of_group = np.array([f"site {i % 5}" for i in range(SIZE)], dtype=object)
    found = judge(
        facts, Sealed(truth), scores, candidate="probe: m", baseline="simple: pixels", rng=rng,
        groups=of_group if groups else None, resamples=200, baselines=list(sharp)[:3], ids=ids,
        seconds={name: float(i) for i, name in enumerate(sharp)},
    )  # fmt: skip
    results = [
        Result(
            name=name, role=NAMES[name], model="m" if name.endswith("m") else None,  # type: ignore[arg-type]
            method=name.split(":")[0], metrics=found.metrics[name], per_class=found.per_class[name],
            seconds={"fit": 2.0 + i, "predict": 0.06}, parameters={"total": 10, "trained": 3},
            details={"temperature": 1.3, "curve": CURVE},
        ).model_copy(update=found.evidence[name].fields())
        for i, name in enumerate(scores)
    ]  # fmt: skip
    results[3] = results[3].model_copy(
        update={
            "hardest": [
                HardExample(id="row 7", loss=2.5, truth="a", answer="b (0.91)"),
                HardExample(id="row 8", loss=1.5, truth="c", answer="a (0.55)"),
            ],
            "diagnosis": [Diagnosis(name="overfit", evidence="Loss rose.", remedy="Stop earlier.")],
        }
    )
    folds = {"probe: m": np.array([[0.9, 0.8], [0.85, 0.95]]),
             "simple: pixels": np.array([[0.5, 0.6], [0.55, 0.5]])}  # fmt: skip
    crossed = cross_validated(
        folds, candidate="probe: m", against="simple: pixels", name=facts.primary
    ).model_copy(update={"scores": {name: v.tolist() for name, v in folds.items()}})
    curves = [
        LabelCurve(
            result=name, counts=[10, 20, 40, 80], errors=[[e, e * 1.1] for e in errors],
            predicted={str(n): Interval(value=e, low=e * 0.9, high=e * 1.1)
                       for n, e in zip([10, 40, 320], (errors[0], errors[2], 0.03), strict=True)},
            words=[f"{name} saves labels."] if name == "probe: m" else [],
        )
        for name, errors in {"probe: m": [0.3, 0.2, 0.1, 0.05],
                             "from scratch: m": [0.7, 0.6, 0.4, 0.3]}.items()
    ]  # fmt: skip
    spread = SeedSpread(
        result="from scratch: m", metric=facts.primary, seeds=[0, 1, 2], values=[0.6, 0.7, 0.65],
        mean=Interval(value=0.65, low=0.53, high=0.77), deviation=0.05, words="It varies.",
    )  # fmt: skip
    base = samples.classification(list(facts.labels))
    data = base.data.model_copy(update={"counts": {"train": 400, "test": SIZE}})
    values: dict[str, Any] = {
        "task": kind, "labels": list(facts.labels), "primary_metric": facts.primary, "data": data,
        "results": results, "chosen": "probe: m", "verdict": found.verdict,
        "chosen_because": "it is clearly better than every simpler result.",
        "comparisons": list(found.comparisons), "checks": [*found.checks, LEAK],
        "held_out": list(found.comparisons)[:1], "cross_validation": [crossed],
        "label_curves": curves, "seeds": [spread],
    }  # fmt: skip
    return base.model_copy(update=values | changes)
