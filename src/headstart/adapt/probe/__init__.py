"""Frozen features and a tuned head: a solver, not an epoch loop.

One decomposition of the features serves all strengths and all folds. The strength is chosen on
out-of-fold outputs, which then also calibrate the probabilities and stand for the candidate when
candidates are compared.
"""

from __future__ import annotations

from headstart.adapt.probe.calibrate import mean_loss, temperature
from headstart.adapt.probe.given import Fit
from headstart.adapt.probe.kinds import HEADS
from headstart.adapt.probe.method import KernelProbe, Probe, packed, solve, work_of

__all__ = [
    "HEADS",
    "Fit",
    "KernelProbe",
    "Probe",
    "mean_loss",
    "packed",
    "solve",
    "temperature",
    "work_of",
]
