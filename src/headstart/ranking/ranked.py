"""What a ranking says, as plain frozen values that go to JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Criteria:
    """Five criteria of one model; None or "" where nothing is known.

    task_similarity: of label names, in `Ranking.units`. data_distance: Fréchet distance of target
    features from the model's source data, in standard deviations of the source, with its 95 %
    interval; data_floor is what the source's own halves lie apart. seconds: for 1,000 examples,
    measured here. memory: MB. use: rough downloads. available: here and now.
    """

    task_similarity: float | None
    data_distance: float | None
    data_low: float | None
    data_high: float | None
    data_floor: float | None
    parameters: int | None
    seconds: float
    memory: float | None
    licence: str
    use: str
    available: bool


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A short real fine-tune: validation metric, its name, seconds; or why there is none."""

    metric: str
    value: float | None
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One model, in the ranking's order.

    place: from 1; models that cannot be told apart share the first. combined: standard deviations
    over the models, higher is better; low and high its 95 % interval from half-samples. best:
    probability of being the best of these after fine-tuning. prior: the static prior alone, on the
    same scale; prior_place: its place in that list, from 1. scores: raw values by name, None where
    the model has none.
    """

    model: str
    title: str
    place: int
    combined: float
    low: float | None
    high: float | None
    best: float
    prior: float | None
    prior_place: int | None
    scores: dict[str, float | None]
    criteria: Criteria
    confirmed: Confirmed | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A model that was left out, and why."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """Models, best first, with everything that the order rests on.

    combined: names of the scores in the combination; others are shown only. weight: share of the
    scores in it, the prior has the rest. units: by column. seconds: of the whole ranking, without
    confirmation. verdict: how it stands beside the static prior, in words.
    """

    data: str
    task: str
    examples: int
    of: int
    pooling: str
    models: list[Ranked]
    skipped: list[Skipped]
    combined: list[str]
    weight: float
    prior_parts: list[str]
    half_samples: int
    units: dict[str, str]
    verdict: str
    seconds: float
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the ranking as JSON-able values."""
        return asdict(self)
