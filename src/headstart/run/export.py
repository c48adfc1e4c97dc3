"""A finished model in a folder of its own, to be given away: `headstart export`.

Nothing here is pickled. (torch.export's .pt2 holds pickled example inputs, so it is not used.)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import RunError, UsageError
from headstart.run.folder import EXPORTED
from headstart.run.use import Prediction, Run, predict_with

if TYPE_CHECKING:
    from headstart.data.load import Quarantined

ABOUT, FORMAT = EXPORTED, 1
PLAIN, HF, ONNX = "torchscript-free", "hf", "onnx"
FORMS = (HF, ONNX, PLAIN)
ONE_AT_A_TIME = (
    "\nWith transformers, give this model one example at a time: it was found to answer otherwise "
    "where shorter examples are padded in a batch.\n"
)
CLIPS_APART = "\nGive the graph clips of one length at a time, unpadded: it takes no mask.\n"


def export(run: str | Path, to: str, out: str | Path | None = None) -> Path:
    """Write the model of a RUN folder in the form `to` ("hf", "onnx" or "torchscript-free").

    `out`: a folder that does not exist or is empty; by default RUN/export/TO. Returns it.
    Raises UsageError where the model cannot be had in that form, with the reason and the next step.
    """
    found = Run.open(run)
    writers = {HF: _write_hf, ONNX: _write_onnx, PLAIN: _write_plain}
    if to not in writers:
        raise UsageError(f"--to must be {', '.join(FORMS[:-1])} or {FORMS[-1]}, got {to!r}.")
    target = Path(out).expanduser() if out is not None else found.path / "export" / to
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists already. Name another folder with --out.")
    _whole(target, lambda folder: writers[to](found, folder))
    return target


def _whole(target: Path, write: Callable[[Path], None]) -> None:
    """Write beside the place and rename: the folder is there whole, or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written: {error.strerror or error}. Free some space, or name "
            "another folder with --out."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_plain(run: Run, folder: Path) -> None:
    """The run's own model folder holds safetensors and JSON alone, and needs no RUN."""
    model = run.model  # it opens: a damaged model is not handed on
    shutil.copytree(run.path / "model", folder, dirs_exist_ok=True)
    _finish(run, folder, PLAIN, {"modality": model.modality}, "headstart")


def _write_hf(run: Run, folder: Path) -> None:
    from headstart.run.export_hf import write

    _finish(run, folder, HF, write(run.model, folder), "transformers")


def _write_onnx(run: Run, folder: Path) -> None:
    from headstart.report.card import licence
    from headstart.report.ranked import chosen_result
    from headstart.run.export_onnx import write

    facts = write(run.model, folder, licence(run.record, chosen_result(run.record)))
    _finish(run, folder, ONNX, facts, "onnx")


def _finish(run: Run, folder: Path, to: str, facts: dict[str, Any], library: str) -> None:
    from headstart.report.card import model_card

    card = model_card(run.record, library=library)
    if not facts.get("batches", True):
        card += ONE_AT_A_TIME
    if facts.get("apart"):
        card += CLIPS_APART
    (folder / "README.md").write_text(card, "utf-8")
    about = {"format": FORMAT, "to": to, "headstart": run.record.headstart, **facts}
    text = json.dumps(about, indent=2, ensure_ascii=False)
    (folder / ABOUT).write_text(text + "\n", "utf-8")


@dataclass(frozen=True)
class Exported:
    """A folder that `export` wrote. `about` is what its export.json says."""

    path: Path
    about: dict[str, Any]

    @cached_property
    def model(self) -> Any:
        """The model; loaded when first needed."""
        from headstart.compute.machine import machine

        machine()
        if self.about["to"] == HF:
            from headstart.run.export_hf import read

            return read(self.path, self.about)
        if self.about["to"] == ONNX:
            from headstart.run.export_onnx_read import read as read_graph

            return read_graph(self.path, self.about)
        from headstart.adapt import load_adapted

        return load_adapted(self.path)

    def predicted(self, inputs: Any, **options: Any) -> tuple[list[Prediction], list[Quarantined]]:
        """Return (predictions, inputs that cannot be read), as `Run.predicted` does."""
        return predict_with(self.model, inputs, **options)


def opened(path: str | Path) -> Run | Exported:
    """Open a RUN folder or an export. Raises RunError where it is neither, or is damaged."""
    folder = Path(path).expanduser()
    if not (folder / ABOUT).is_file():
        return Run.open(folder)
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        newer, known = about["format"] > FORMAT, about["to"] in FORMS
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / ABOUT} cannot be read: {error}. Export the run again.") from None
    if newer or not known:
        raise RunError(
            f"{folder} was exported by a newer version, as {about['to']!r}; upgrade headstart."
        )
    return Exported(folder, about)
