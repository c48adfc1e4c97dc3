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
VALUES = ("classification", "regression")

BUILTIN: tuple[Score, ...] = (
    Score("logme", "LogME", "nats/example", "features", ANY, logme, fair=True),
    Score("knn", "kNN", "share right, or R²", "features", VALUES, neighbours, fair=True),
    Score("probe", "probe", "share right, or R²", "features", ANY, probe, fair=True),
    Score("h_score", "H-score", "", "features", CLASSES, h_score, fair=False),
    Score("sfda", "SFDA", "nats/example", "features", CLASSES, sfda, fair=False),
    Score("leep", "LEEP", "nats/example", "source", CLASSES, leep, fair=False),
    Score("nce", "NCE", "nats/example", "source", CLASSES, nce, fair=False),
)

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
