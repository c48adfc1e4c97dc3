"""Which pretrained model, before any is trained: scores, their combination, and what it costs."""

from __future__ import annotations

from headstart.ranking.h_score import h_score
from headstart.ranking.leep import leep
from headstart.ranking.logme import logme
from headstart.ranking.nce import nce
from headstart.ranking.neighbours import neighbours
from headstart.ranking.probe import probe
from headstart.ranking.score import Score
from headstart.ranking.sfda import sfda

ANY = ("classification", "multi-label", "regression")
CLASSES = ("classification",)

BUILTIN: tuple[Score, ...] = (
    Score("logme", "LogME", "nats/example", "features", ANY, logme),
    Score("h_score", "H-score", "", "features", CLASSES, h_score),
    Score("knn", "kNN", "share right, or R²", "features", ("classification", "regression"),
          neighbours),
    Score("probe", "probe", "share right, or R²", "features", ANY, probe),
    Score("sfda", "SFDA", "nats/example", "features", CLASSES, sfda),
    Score("leep", "LEEP", "nats/example", "source", CLASSES, leep),
    Score("nce", "NCE", "nats/example", "source", CLASSES, nce),
)  # fmt: skip

__all__ = [
    "BUILTIN",
    "Score",
    "h_score",
    "leep",
    "logme",
    "nce",
    "neighbours",
    "probe",
    "sfda",
]
