"""What is finished on disk, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np

from headstart.adapt import Trained, load_adapted
from headstart.errors import RunError


def keep(trained: Trained, key: str, folder: Path) -> None:
    """Save a finished candidate under `key`; it counts from the moment trained.json is there."""
    place = folder / slug(key)
    trained.adapted.save(place)
    try:
        np.savez(place / "held.npz", rows=trained.rows, outputs=trained.outputs)
        facts = {
            "key": key,
            "seconds": trained.seconds,
            "parameters": trained.parameters,
            "details": trained.details,
        }
        partial = place / ".trained.json.partial"
        partial.write_text(json.dumps(facts), "utf-8")
        partial.replace(place / "trained.json")
    except OSError as error:
        raise RunError(
            f"{place} cannot be written: {error.strerror or error}. Free some space."
        ) from error


def kept(key: str, folder: Path) -> Trained | None:
    """Return the candidate saved under `key`; None where it was not finished, or is damaged."""
    place = folder / slug(key)
    try:
        facts = json.loads((place / "trained.json").read_text("utf-8"))
        with np.load(place / "held.npz", allow_pickle=False) as held:
            rows, outputs = held["rows"], held["outputs"]
        if facts["key"] != key:
            return None
        adapted = load_adapted(place)
    except (OSError, ValueError, KeyError, RunError):
        return None
    return Trained(adapted, rows, outputs, facts["seconds"], facts["parameters"], facts["details"])


def once(key: str, folder: Path, make: Callable[[], Trained]) -> Trained:
    """Return the kept candidate, or make it and keep it."""
    found = kept(key, folder)
    if found is None:
        found = make()
        keep(found, key, folder)
    return found


def keep_scores(scores: np.ndarray, key: str, folder: Path) -> None:
    """Save what a study's result said under `key`: safetensors, whole or not at all."""
    from safetensors.numpy import save

    place = _scores_file(key, folder)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(".partial")
        whole = np.ascontiguousarray(scores)
        partial.write_bytes(save({"scores": whole}, metadata={"key": key}))
        partial.replace(place)
    except OSError as error:
        raise RunError(
            f"{place} cannot be written: {error.strerror or error}. Free some space."
        ) from error


def kept_scores(key: str, folder: Path) -> np.ndarray | None:
    """Return the scores saved under `key`; None where there are none, or they are damaged."""
    from safetensors import SafetensorError, safe_open

    place = _scores_file(key, folder)
    if not place.exists():
        return None
    try:
        with safe_open(place, framework="np") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            scores: np.ndarray = file.get_tensor("scores")
            return scores
    except (OSError, SafetensorError):
        return None


def _scores_file(key: str, folder: Path) -> Path:
    name = blake2b(key.encode(), digest_size=10).hexdigest()
    return folder / "studies" / f"{name}.safetensors"


def slug(name: str) -> str:
    """Return a folder name for a result's name.

    >>> slug("probe: org/name")
    'probe-org-name'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "result"
