"""One model looked at: its features of the training examples, its scores, its five criteria."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.compute.progress import Progress
from headstart.compute.randomness import rng_for
from headstart.compute.threads import threads, threads_for
from headstart.data.dataset import Dataset
from headstart.errors import ModelError, UsageError
from headstart.features.extract import Extractor
from headstart.features.pace import seconds_per_thousand, working_memory
from headstart.ranking.ceiling import left_out_right
from headstart.ranking.ranked import Criteria
from headstart.ranking.reference import find_reference
from headstart.ranking.resample import scaled
from headstart.ranking.score import Score
from headstart.ranking.similarity import Embed, task_similarity
from headstart.sources import load
from headstart.sources.backbone import Backbone, BackboneCard
from headstart.sources.head import source_head
from headstart.sources.layers import layer_mean


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """scores: raw values; resampled: (b,) by name, scaled. A score it has no head for is absent.

    right: (n,) which examples a probe gets right that did not see them; None where none was asked.
    """

    card: BackboneCard
    scores: dict[str, float]
    resampled: dict[str, np.ndarray]
    criteria: Criteria
    right: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How every model is looked at: the same examples, scores and half-samples for all.

    `counted`: names of the scores that may enter the combination; only they are resampled.
    """

    data: Dataset
    scores: Sequence[Score]
    counted: frozenset[str]
    halves: Sequence[np.ndarray]
    embed: Embed | None
    layers: bool
    allow_pickle: bool
    seed: int
    progress: Progress

    def at(self, model: str) -> Candidate:
        """Load one model and measure it. Raises ModelError or UsageError for what fails."""
        backbone = load(model, allow_pickle=self.allow_pickle)
        if backbone.card.modality != self.data.inputs.modality:
            raise ModelError(
                f"it takes {backbone.card.modality}, the data is {self.data.inputs.modality}"
            )
        backbone = layer_mean(backbone) if self.layers else backbone
        extractor = Extractor(backbone)
        features = extractor.table(self.data.inputs, progress=self.progress).features
        views = {"features": np.asarray(features, np.float64)}
        if any(score.uses == "source" for score in self.scores) and not self.layers:
            head = source_head(backbone)
            if head is not None:
                views["source"] = head.probabilities(views["features"])
        scores, resampled = self._scored(views)
        criteria = self._criteria(backbone, extractor, views["features"])
        probed = "probe" in self.counted
        right = left_out_right(views["features"], self.data.targets) if probed else None
        return Candidate(backbone.card, scores, resampled, criteria, right)

    def _scored(
        self, views: dict[str, np.ndarray]
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        targets, total = self.data.targets, len(self.data)
        scores: dict[str, float] = {}
        resampled: dict[str, np.ndarray] = {}
        for score in self.scores:
            if score.uses not in views:
                continue
            view = views[score.uses]
            with threads(threads_for(float(total) ** 2 * view.shape[1])):
                scores[score.name] = score.function(view, targets)
            if not self.halves or score.name not in self.counted:
                continue
            with threads(1):  # small problems: waiting for a second thread costs more than it gains
                again = [score.function(view[rows], targets[rows]) for rows in self.halves]
            values, whole = np.array(again)[:, None], np.array([scores[score.name]])
            resampled[score.name] = scaled(values, whole, len(self.halves[0]), total)[:, 0]
        return scores, resampled

    def _criteria(self, backbone: Backbone, extractor: Extractor, features: np.ndarray) -> Criteria:
        inputs, card = self.data.inputs, backbone.card
        reference = find_reference(backbone.fingerprint)
        distance, low, high = None, None, None
        if reference is not None:
            distance = reference.distance(features)
            rng = rng_for(self.seed, "reference")
            low, high = reference.interval(features, rng=rng)
        memory = working_memory(extractor, inputs)
        names = self.data.task.labels if self.data.task.name != "regression" else ()
        return Criteria(
            task_similarity=task_similarity(names, card.labels, self.embed),
            data_distance=distance,
            data_low=low,
            data_high=high,
            data_floor=None if reference is None else reference.floor,
            parameters=card.parameters,
            seconds=seconds_per_thousand(extractor, inputs),
            memory=None if memory is None else memory / 2**20,
            licence=card.licence,
            use=str(getattr(card, "use", "")),
            available=card.available,
        )


def embedder() -> Embed | None:
    """Return MiniLM's embedding of texts through the feature store, None where it is not here."""
    try:
        backbone = load("starter:minilm")
    except (ModelError, UsageError):
        return None
    extractor = Extractor(backbone)

    def embed(texts: Sequence[str]) -> np.ndarray:
        import hashlib

        from headstart.data.dataset import Unlabelled

        digests = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        table = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
        inputs = Unlabelled("text", list(texts), list(texts), table)
        return np.asarray(extractor.table(inputs).features)

    return embed
