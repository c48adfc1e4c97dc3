"""The process that writes for one tracker: `python -m headstart.run.tracking_child NAME FOLDER`.

Started by `tracking`, in an environment that keeps the tools to this disk. FOLDER holds
facts.json. Steps rise over all curves together, since W&B takes them in no other order.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def write(name: str, folder: Path) -> None:
    """Tell the tracker all that facts.json says."""
    facts = json.loads((folder / "facts.json").read_text("utf-8"))
    from accelerate import PartialState

    PartialState(cpu=True)  # Accelerate's trackers want to know which process they are in
    tracker = opened(name, facts["name"], folder)
    tracker.start()
    tracker.store_init_configuration(facts["config"])
    last = 0
    for row in facts["series"]:
        last = row.pop("step")
        tracker.log(row, step=last)
    tracker.log(facts["summary"], step=last)
    tracker.finish()


def opened(name: str, run: str, folder: Path) -> Any:
    """Return Accelerate's tracker."""
    from accelerate import tracking

    if name == "tensorboard":
        return tracking.TensorBoardTracker(name, logging_dir=folder)
    if name == "mlflow":
        place = (folder / name / "files").as_uri()
        return tracking.MLflowTracker("headstart", logging_dir=place, run_name=run)
    return tracking.WandBTracker("headstart", name=run, dir=str(folder), mode="offline")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
