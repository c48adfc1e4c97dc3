"""Heads that a probe may put on features. A new one is a file here and a line in HEADS."""

from __future__ import annotations

from headstart.adapt.probe.kinds.kind import Kind
from headstart.adapt.probe.kinds.knn import NearestNeighbours
from headstart.adapt.probe.kinds.logistic import Logistic
from headstart.adapt.probe.kinds.rbf import Rbf, RbfSvm
from headstart.adapt.probe.kinds.ridge import LeastSquares
from headstart.adapt.probe.kinds.svm import Svm

# From simple to rich: where "auto" cannot tell two apart, the earlier one is taken.
HEADS: tuple[Kind, ...] = (
    Logistic(), LeastSquares(), Svm(), Rbf(), RbfSvm(), NearestNeighbours(),
)  # fmt: skip

__all__ = ["HEADS", "Kind"]
