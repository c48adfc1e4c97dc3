"""A finished run for TensorBoard, MLflow or Weights & Biases: files in RUN/tracking, no network.

The tools are written to by a process of its own (`tracking_child`): in its environment they are
told to stay on this disk, and nothing of theirs is left in this one. W&B 0.31 for instance asks
an analytics server in spite of mode="offline", unless the environment said so beforehand.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import headstart
from headstart.errors import MissingExtra, RunError, UsageError
from headstart.records import Interval, RunRecord
from headstart.run.kept import slug

if TYPE_CHECKING:
    from headstart.recipe import Recipe
    from headstart.run.choosing import Entry

FOLDER, FACTS = "tracking", "facts.json"
SECONDS = 300  # that writing may take
TRACKERS = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}  # name to package
# What a person has set for other runs must not send this one elsewhere, nor let it wait for ranks.
PRIVATE = (
    "WANDB_",
    "MLFLOW_",
    "OTEL_",
    "ACCELERATE_",
    "MASTER_",
    "LOCAL_RANK",
    "RANK",
    "WORLD_SIZE",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What trackers are told. `series`: step to values by name; `summary`: values at the end."""

    name: str
    config: dict[str, str | int | float | bool]
    series: dict[int, dict[str, float]]
    summary: dict[str, float]

    def to_json(self) -> str:
        series = [{"step": step, **values} for step, values in sorted(self.series.items())]
        about = {"name": self.name, "config": self.config, "series": series}
        return json.dumps(about | {"summary": self.summary}, indent=1, ensure_ascii=False) + "\n"


def need_trackers(names: Sequence[str]) -> None:
    """Raise UsageError for an unknown tracker, MissingExtra where its package is absent."""
    from importlib.util import find_spec

    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"--track {name!r} is unknown; known: {', '.join(TRACKERS)}.")
        try:
            there = find_spec(TRACKERS[name]) is not None
        except ValueError:  # stands in sys.modules as None
            there = False
        if not there:
            raise MissingExtra(TRACKERS[name], name)


def track(recipe: Recipe, record: RunRecord, entries: Sequence[Entry], run: Path) -> None:
    """Write what the recipe asks for into RUN/tracking. Raises RunError; the run itself is done."""
    if not recipe.track:
        return
    folder = run / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        text = facts_of(recipe, record, entries, run.resolve().name).to_json()
        (folder / FACTS).write_text(text, "utf-8")
        with TemporaryDirectory(prefix="headstart-") as spare:
            for name in dict.fromkeys(recipe.track):
                _write(name, folder.resolve(), Path(spare))
    except OSError as error:
        raise _failed(run, error.strerror or str(error)) from error
    except subprocess.TimeoutExpired:
        raise _failed(run, f"{name} took more than {SECONDS} s.") from None
    except subprocess.CalledProcessError as error:
        said = [line for line in str(error.stderr).splitlines() if line.strip()]
        raise _failed(run, f"{name}: {said[-1] if said else 'it ended without a word'}") from None


def _failed(run: Path, why: str) -> RunError:
    return RunError(
        f"The run is done and whole, but {run / FOLDER} cannot be written: {why} What would have "
        f"been tracked is in {run / FOLDER / FACTS}, if the disk took that."
    )


def _write(name: str, folder: Path, spare: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "headstart.run.tracking_child", name, str(folder)],
        env=_environment(folder, spare), cwd=spare, check=True, capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip


def _environment(folder: Path, spare: Path) -> dict[str, str]:
    """Return an environment in which W&B and MLflow write to `folder`, and ask nobody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    home = str(Path(headstart.__file__).parents[1])
    places = {f"WANDB_{what}_DIR": str(spare) for what in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
    return kept | places | {
        "PYTHONPATH": os.pathsep.join(filter(None, (home, kept.get("PYTHONPATH")))),
        "WANDB_MODE": "offline", "WANDB_DIR": str(folder), "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_DISABLE_GIT": "true",
        "WANDB_DISABLE_CODE": "true", "WANDB__DISABLE_STATS": "true",
        "MLFLOW_TRACKING_URI": (folder / "mlflow").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet",
        "HF_HUB_OFFLINE": "1", "OTEL_SDK_DISABLED": "true",
    }  # fmt: skip


def facts_of(recipe: Recipe, record: RunRecord, entries: Sequence[Entry], name: str) -> Facts:
    """Return the curves of every training, all test metrics with intervals, and the recipe."""
    names = short_names([result.name for result in record.results])
    series: dict[int, dict[str, float]] = {}
    for entry in entries:
        for step, what, value in curves(entry.trained.details):
            series.setdefault(step, {})[f"{names[entry.name]}/{what}"] = value
    config = dict(flat(recipe.model_dump(by_alias=True, exclude_none=True)))
    config |= {"task": record.task, "data.fingerprint": record.data.fingerprint}
    config |= {f"examples.{part}": count for part, count in record.data.counts.items()}
    if record.chosen:
        config["chosen"] = record.chosen
    if record.verdict:
        config["verdict"] = record.verdict.words
    return Facts(name, config, series, dict(_summary(record, names)))


def _summary(record: RunRecord, names: dict[str, str]) -> Iterator[tuple[str, float]]:
    for result in record.results:
        own = names[result.name]
        for metric, found in result.metrics.items():
            yield from _bounds(f"{own}/test/{metric}", found)
        for metric, value in result.validation.items():
            yield f"{own}/held_out/{metric}", value
        yield f"{own}/seconds", sum(result.seconds.values())
    if record.verdict:
        yield from _bounds(f"verdict/{record.verdict.metric}", record.verdict.difference)
    yield "seconds", record.seconds


def _bounds(name: str, found: Interval) -> Iterator[tuple[str, float]]:
    each = {"": found.value, "_low": found.low, "_high": found.high}
    for end, value in each.items():
        if value is not None and math.isfinite(value):
            yield name + end, value


def curves(details: dict[str, Any]) -> Iterator[tuple[int, str, float]]:
    """Yield (step, name, value) of what a method says of its training; nothing for a solver."""
    for row in details.get("losses", []):
        yield int(row["step"]), "training/loss", float(row["loss"])
    for step, value in enumerate(details.get("loss", []), 1):  # few-shot: of its pairs
        yield step, "training/loss", float(value)
    for row in details.get("curve", []):
        for key, name in (("validation", "loss"), ("accuracy", "accuracy")):
            if key in row:
                yield int(row["step"]), f"validation/{name}", float(row[key])


def flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, plain value); lists become JSON."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        elif isinstance(value, bool | int | float | str):
            yield before + name, value
        else:
            yield before + name, json.dumps(value, ensure_ascii=False)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return names that every tracker takes; numbered where two would become one."""
    found: dict[str, str] = {}
    for name in names:
        plain, number = slug(name), 1
        while plain in found.values():
            number += 1
            plain = f"{slug(name)}-{number}"
        found[name] = plain
    return found
