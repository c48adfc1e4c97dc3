"""What ails a training, said in the record; and, when asked, the remedy applied in a second try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from headstart.adapt import Method, Trained
from headstart.data.dataset import Dataset
from headstart.evaluate.diagnosis import diagnose
from headstart.records import Diagnosis

Settings = dict[str, Any]
FIRST_RATE = 1e-4  # where a method says none and the training did not either


def diagnosis_of(trained: Trained, data: Dataset) -> list[Diagnosis]:
    """Return what the training curve shows, the gravest first; [] for what was not trained."""
    details = trained.details
    curve = [*details.get("losses", []), *details.get("curve", [])]
    if not details.get("curve"):
        return []
    curve = sorted(curve, key=lambda entry: entry.get("step", 0))
    return diagnose(
        curve, ended=str(details.get("ended", "")), chance=_chance(data),
        train_accuracy=details.get("train_accuracy"),
    )  # fmt: skip


def _chance(data: Dataset) -> float | None:
    """Return the loss of always saying the class frequencies, or the mean."""
    if data.task.name == "regression":
        return float(np.var(data.targets))
    if data.task.name == "classification":
        share = np.bincount(data.targets, minlength=data.task.outputs) / len(data)
    else:
        share = data.targets.mean(axis=0)
        return float(-(_entropy(share) + _entropy(1 - share)).mean())
    return float(-_entropy(share).sum())


def _entropy(share: np.ndarray) -> np.ndarray:
    found: np.ndarray = share * np.log(np.clip(share, 1e-12, None))
    return found


def remedied(method: Method, trained: Trained, found: list[Diagnosis]) -> tuple[Method, str] | None:
    """Return the method with the remedy applied, and the words for it; None where none is known.

    Only settings that the method has are changed.
    """
    known = {field.name for field in fields(method)}  # type: ignore[arg-type]
    for diagnosis in found:
        make = REMEDIES.get(diagnosis.name)
        settings = make(method, trained) if make else {}
        settings = {name: value for name, value in settings.items() if name in known}
        if settings:
            changed: Method = replace(method, **settings)  # type: ignore[type-var]
            words = ", ".join(f"{name} = {value}" for name, value in settings.items())
            return changed, f"{diagnosis.name}: {words}"
    return None


def _slower(factor: float) -> Callable[[Method, Trained], Settings]:
    def settings(method: Method, trained: Trained) -> Settings:
        return {"rate": rate_of(trained) * factor, "schedule": ()}

    return settings


def rate_of(trained: Trained) -> float:
    """Return the highest learning rate that any stage of the backbone had."""
    rates = [
        rate for phase in trained.details.get("phases", []) for part, rate in phase["rates"].items()
        if part != "head"
    ]  # fmt: skip
    return max(rates, default=FIRST_RATE)


def _longer(method: Method, trained: Trained) -> Settings:
    per_epoch = max(1, int(trained.details.get("steps_an_epoch", 1)))
    epochs = max(1, round(trained.details.get("steps_planned", per_epoch) / per_epoch))
    return {"epochs": 2 * epochs}


def _held_back(method: Method, trained: Trained) -> Settings:
    """Fewer steps, softer targets, and for pictures and sounds augmented views."""
    per_epoch = max(1, int(trained.details.get("steps_an_epoch", 1)))
    best = max(1, round(trained.details.get("best_step", per_epoch) / per_epoch))
    return {"epochs": best + 1} | _softer(method, trained) | _augmented(method, trained)


def _softer(method: Method, trained: Trained) -> Settings:
    present = tuple(getattr(method, "techniques", ()))
    if any(spec.startswith("smoothing") for spec in present):
        return {}
    return {"techniques": (*present, "smoothing:0.1")}


def _augmented(method: Method, trained: Trained) -> Settings:
    pictures = trained.adapted.modality in ("image", "audio")
    return {"augment": "auto"} if pictures and not getattr(method, "augment", "") else {}


# A diagnosis's name -> the settings that mend it.
REMEDIES: dict[str, Callable[[Method, Trained], Settings]] = {
    "diverged": _slower(0.1),
    "rate too high": _slower(0.3),
    "rate too low": _slower(3.0),
    "underfit": _longer,
    "overfit": _held_back,
    "label noise suspected": _softer,
}
