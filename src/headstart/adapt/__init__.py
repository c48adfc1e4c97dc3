"""Ways to make a pretrained model one's own. A new one is a file here and a line in BUILTIN."""

from __future__ import annotations

from headstart.adapt.adapted import Adapted, load_adapted
from headstart.adapt.baselines import BASELINES
from headstart.adapt.fewshot import FewShot
from headstart.adapt.finetune import FineTune
from headstart.adapt.folds import carve, held_out, plan, validation_rows
from headstart.adapt.method import Checks, Choosy, Context, Method, Trained
from headstart.adapt.probe import Probe

# By itself a probe is logistic; a run lets it choose its head (docs/heads.md has the numbers).
BUILTIN: tuple[Method, ...] = (Probe(head="auto"), FewShot(), FineTune())

__all__ = [
    "BASELINES",
    "BUILTIN",
    "Adapted",
    "Checks",
    "Choosy",
    "Context",
    "FewShot",
    "FineTune",
    "Method",
    "Probe",
    "Trained",
    "carve",
    "held_out",
    "load_adapted",
    "plan",
    "validation_rows",
]
