"""Is the instrument itself true? False claims, coverage, detection of harm, and label curves.

Each share is over many trials whose truth is known: simulated populations, and large pools of real
examples of which test parts are drawn. About ten minutes on 2 cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from bench.evidence_curves import label_curves, label_curves_by_hand
from bench.evidence_data import (
    Population,
    correlated,
    populations,
    probe_scores,
    reaches,
    within,
)
from bench.pools import Pool, pool, scrambled, simple_pool
from bench.table import Row
from headstart.compute.machine import machine
from headstart.compute.threads import threads
from headstart.evaluate import compare, intervals
from headstart.evaluate.abstention import abstention, aurc, risks
from headstart.evaluate.calibration import brier, calibration, confidence_of
from headstart.evaluate.measure import measure
from headstart.evaluate.metrics import metric
from headstart.evaluate.verdict import difference
from headstart.records import Calibration, Interval, TaskFacts

NAME = "evidence"
SIZES = (50, 200, 1000)
RESAMPLES = 300
ALARMS = 500  # trials of equal models
COVERED = {50: 800, 200: 800, 1000: 600}
PARTS = (
    "curves", "real", "3 classes", "rare class", "3 labels", "numbers", "claims", "simulated",
    "curves by hand",
)  # fmt: skip
HARMED = 150
STRENGTHS = (0.02, 0.05, 0.2, 1.0)  # of the noise in early weights


def run() -> list[Row]:
    """Run the parts side by side, one a core; their rows come in the order of PARTS."""
    with ProcessPoolExecutor(machine().cores, mp_context=get_context("spawn")) as pool_of_cores:
        return [row for rows in pool_of_cores.map(part, PARTS) for row in rows]


def part(name: str) -> list[Row]:
    """Return the rows of one part, by its name in PARTS."""
    makers: dict[str, Callable[[], Iterator[Row]]] = {
        "claims": false_claims, "simulated": simulated_harm, "real": real_harm,
        "curves": label_curves, "curves by hand": label_curves_by_hand,
    }  # fmt: skip
    with threads(1):
        return list(makers[name]() if name in makers else coverage(name))


def answer(truth: np.ndarray, first: np.ndarray, second: np.ndarray, rng: Any) -> str:
    """Return the verdict on two classifiers' scores, as the judge finds it."""
    labels = tuple(map(str, range(first.shape[1])))
    task = TaskFacts("classification", labels, ("accuracy",))
    scores = {"candidate": first, "baseline": second}
    boot = intervals.bootstrap(task, truth, scores, rng=rng, resamples=RESAMPLES)
    (found,) = compare(task, truth, scores, boot, candidate="candidate", baselines=["baseline"])
    return found.answer


def false_claims() -> Iterator[Row]:
    """Models that are equal by construction: how often is a difference claimed?"""
    rng = np.random.default_rng(1)
    for n in SIZES:
        claims = 0
        for _ in range(ALARMS):
            truth, first, second = correlated(n, 0.8, 0.8, shared=0.6, rng=rng)
            claims += answer(truth, first, second, rng) != "no clear difference"
        yield within(f"equal models, two seeds, n = {n}: claims", claims / ALARMS, 0.0, 0.07)
    source, simple = pool("digits"), simple_pool("digits")
    rows = rng.permutation(len(source.targets))
    train, rest = rows[:300], rows[300:]
    both = [probe_scores(one, train, rest) for one in (source, simple)]
    claims = 0
    for _ in range(ALARMS):
        drawn = rng.integers(0, len(rest), 500)
        swap = (rng.random(500) < 0.5)[:, None]
        first, second = (scores[drawn] for scores in both)
        mixed = np.where(swap, first, second), np.where(swap, second, first)
        truth = source.targets[rest[drawn]]
        claims += answer(truth, *mixed, rng) != "no clear difference"
    note = "two probes on digits that swap their answers at random: exactly exchangeable"
    yield within("equal models, shuffled, n = 500: claims", claims / ALARMS, 0.0, 0.07, note)


def coverage(name: str) -> Iterator[Row]:
    """How often the 95 % intervals hold the value of the population of that name."""
    rng = np.random.default_rng(2)
    for population in (p for p in populations(rng) if p.name == name):
        for n in SIZES:
            trials = COVERED[n]
            hits: dict[str, list[bool]] = {}
            for _ in range(trials):
                rows = rng.integers(0, len(population.truth), n)
                for key, found, true in _measured(population, rows, rng):
                    held = found.low is not None and found.low <= true <= (found.high or 0)
                    hits.setdefault(key, []).append(bool(held))
            for key, held_in in hits.items():
                what = f"{name}, n = {n}: {key}"
                yield within(what, float(np.mean(held_in)), 0.93, 0.97)


def _measured(
    p: Population, rows: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, Interval, float]]:
    """Yield (what, interval from the sample, value in the population)."""
    truth, scores = p.truth[rows], {"a": p.scores[rows], "b": p.rival[rows]}
    boot = intervals.bootstrap(p.task, truth, scores, rng=rng, resamples=RESAMPLES)
    points = {name: measure(p.task, truth, s) for name, s in scores.items()}
    for name, value in points["a"].items():
        found = intervals.interval(metric(name), value, boot.values["a"][name], truth, boot)
        yield name, found, p.true[name]
    of = metric(p.task.primary)
    pair = (points["a"][of.name], points["b"][of.name])
    yield f"difference of {of.name}", difference(of, truth, boot, pair, ("a", "b")), p.gap
    if p.task.kind != "classification":
        return
    made = calibration(p.task, truth, scores["a"], rng=rng, resamples=RESAMPLES)
    left = abstention(p.task, truth, scores["a"], rng=rng, resamples=RESAMPLES)
    assert made is not None and left is not None
    yield (
        "Brier score",
        made.brier,
        p.extra("brier", lambda: float(brier(p.truth, p.scores).mean())),
    )
    yield "AURC", left.area, p.extra("aurc", lambda: _true_area(p))
    yield "ECE", made.error, _true_error(p, made)


def _true_area(p: Population) -> float:
    _, errors = risks(*confidence_of(p.truth, p.scores))
    return float(aurc(errors, np.ones((len(errors), 1)))[0])


def _true_error(p: Population, made: Calibration) -> float:
    """Return the calibration error of the population in the sample's bins."""
    confidence, right = confidence_of(p.truth, p.scores)
    edges = [one.high for one in made.bins][:-1]
    bins = np.searchsorted(edges, confidence, side="left")
    gaps = np.bincount(bins, right - confidence, minlength=len(made.bins))
    return float(np.abs(gaps).sum() / len(right))


def simulated_harm() -> Iterator[Row]:
    """Planted losses at n = 1,000, by how alike the two models' errors are."""
    rng = np.random.default_rng(3)
    for accuracy, loss, shared in (
        (0.9, 0.03, 0.9), (0.9, 0.03, 0.6), (0.8, 0.03, 0.6), (0.8, 0.05, 0.6), (0.8, 0.05, 0.0),
        (0.8, 0.08, 0.6), (0.8, 0.08, 0.0),
    ):  # fmt: skip
        hurt, apart = 0, []
        for _ in range(HARMED):
            truth, first, second = correlated(1000, accuracy - loss, accuracy, shared, rng=rng)
            hurt += answer(truth, first, second, rng) == "hurts"
            right = [s.argmax(axis=1) == truth for s in (first, second)]
            apart.append(np.mean(right[0] != right[1]))
        what = f"simulated loss of {100 * loss:.0f} points, accuracy {accuracy}, alike {shared}"
        note = f"the two are right on different examples in {np.mean(apart):.1%}"
        yield reaches(f"{what}: detected", hurt / HARMED, None, note)


def real_harm() -> Iterator[Row]:
    """Probes on spoiled backbones against the whole one and the simple model, n = 1,000."""
    rng = np.random.default_rng(4)
    found: list[tuple[float, float, float, str]] = []
    for name in ("clothing_small", "digits", "trec"):
        whole = pool(name)
        rows = rng.permutation(len(whole.targets))
        train, rest = rows[:600], rows[600:]
        truth = whole.targets[rest]
        rivals = {"whole": probe_scores(whole, train, rest)}
        rivals["simple"] = probe_scores(simple_pool(name), train, rest)
        for kind, spoiled in _spoiled(name, whole, rng):
            scores = probe_scores(spoiled, train, rest)
            for rival, theirs in rivals.items():
                right = [s.argmax(axis=1) == truth for s in (scores, theirs)]
                loss = float(right[1].mean() - right[0].mean())
                if loss < 0.03:
                    continue
                hurt = sum(_harm(truth, scores, theirs, rng) for _ in range(HARMED)) / HARMED
                what = f"{name}, {kind} against {rival}"
                found.append((loss, float(np.mean(right[0] != right[1])), hurt, what))
    for loss, apart, hurt, what in sorted(found):
        note = f"right on different examples in {apart:.1%}"
        yield reaches(f"{what}, loses {100 * loss:.1f} points: detected", hurt, None, note)
    for low, high in ((0.03, 0.05), (0.05, 0.08), (0.08, 1.0)):
        some = [hurt for loss, _, hurt, _ in found if low <= loss < high]
        if some:
            what = (
                f"of these, {len(some)} lose {100 * low:.0f} to {100 * high:.0f} points: detected"
            )
            yield reaches(what, float(np.mean(some)), None)
    share = float(np.mean([hurt for _, _, hurt, _ in found]))
    yield reaches(f"planted negative transfer, {len(found)} cases: detected", share, 0.95)


def _harm(truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray, rng: Any) -> bool:
    drawn = rng.integers(0, len(truth), 1000)
    return answer(truth[drawn], ours[drawn], theirs[drawn], rng) == "hurts"


def _spoiled(name: str, whole: Pool, rng: np.random.Generator) -> Iterator[tuple[str, Pool]]:
    for strength in STRENGTHS:
        yield f"early weights {strength:g} noise", pool(name, scrambled(strength, 0))
    for keep in (0.5, 0.7, 0.8, 0.85, 0.9):
        noise = rng.normal(size=whole.features.shape) * whole.features.std(axis=0)
        mixed = (keep * whole.features + (1 - keep**2) ** 0.5 * noise).astype(np.float32)
        yield (
            f"features with {1 - keep**2:.0%} noise",
            Pool(name, mixed, whole.targets, whole.classes),
        )
    noise = rng.normal(size=whole.features.shape).astype(np.float32)
    yield "a source of noise", Pool(name, noise, whole.targets, whole.classes)
