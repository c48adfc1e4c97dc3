"""Several runs on one test part: what is known of each, and of each pair, as one page says it."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.records import Comparison, Interval, RunRecord
from headstart.report import words

MOST_PAIRS = 45  # that are shown one by one: of ten runs


@dataclass(frozen=True, slots=True)
class Entrant:
    """One run with what it handed over. `name` tells it from the others, `path` is its folder."""

    name: str
    path: str
    record: RunRecord
    metrics: dict[str, Interval]  # of what was handed over, on the test part
    settings: dict[str, str]  # dotted name to value; empty where there is no recipe

    @property
    def chosen(self) -> str:
        return self.record.chosen or ""

    @property
    def making(self) -> float:
        """Seconds that the handed-over result took, without predicting the test part."""
        took = self.record.result(self.chosen).seconds
        return sum(seconds for stage, seconds in took.items() if stage != "predict")

    @property
    def parameters(self) -> int | None:
        return self.record.result(self.chosen).parameters.get("total")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting in which recipes differ: a value an entrant, "" where one has none."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contest:
    """Runs on the same test examples, best by `metric` first.

    comparisons: of every pair, the better one named first, corrected for the number of pairs.
    settings: those that differ; `same`: how many do not.
    """

    metric: str
    examples: int
    runs: tuple[Entrant, ...]
    comparisons: tuple[Comparison, ...]
    settings: tuple[Setting, ...]
    same: int
    notes: tuple[str, ...] = ()
    version: str = ""  # of Headstart

    @property
    def leader(self) -> Entrant:
        return self.runs[0]

    @property
    def shown(self) -> tuple[Comparison, ...]:
        """All comparisons, or of too many to be read those with the leader."""
        if len(self.comparisons) <= MOST_PAIRS:
            return self.comparisons
        return tuple(c for c in self.comparisons if c.candidate == self.leader.name)

    def even(self) -> tuple[Entrant, ...]:
        """Return the leader and those that it does not clearly beat."""
        beaten = {
            c.against
            for c in self.comparisons
            if c.candidate == self.leader.name and c.answer == "helps"
        }
        return tuple(run for run in self.runs if run.name not in beaten)


def headline(contest: Contest) -> str:
    """Say who is ahead, in a few words."""
    if len(contest.even()) > 1:
        return "No clear winner"
    best = "better" if len(contest.runs) == 2 else "best"
    return f"{contest.leader.name} is clearly {best}"


def sentences(contest: Contest) -> list[str]:
    """Say what the comparisons with the leader come to, and which of the even is the smallest."""
    leader, even = contest.leader, contest.even()
    title = words.metric_title(contest.metric)
    score = words.interval_text(contest.metric, leader.metrics[contest.metric])
    said = [
        f"{leader.name} leads: {title} {score} on "
        f"{words.counted(contest.examples, 'test example')}."
    ]
    if len(even) > 1:
        others = ", ".join(run.name for run in even[1:])
        said.append(f"The difference to {others} is not clear.")
        sized = [run for run in even if run.parameters is not None]
        if len(sized) == len(even):
            small = min(even, key=lambda run: (run.parameters or 0, run.making))
            said.append(
                f"Of these, {small.name} is the smallest ({small.parameters:,} parameters)."
            )
    beaten = [run.name for run in contest.runs if run not in even]
    if beaten:
        said.append(f"It is clearly better than {', '.join(beaten)}.")
    return said
