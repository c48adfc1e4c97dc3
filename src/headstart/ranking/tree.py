"""The tree of advice as data: questions with thresholds and reasons, and leaves."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from headstart.errors import UsageError

SHIPPED = Path(__file__).with_name("advice.toml")
YES, NO = "yes", "no"
Fact = float | str | bool | None

# Every fact that a question may ask for, and how a person reads it.
FACTS = {
    "labels_each": "labels a class",
    "task": "task",
    "modality": "modality",
    "domain_accuracy": "accuracy of a domain classifier (lower end of its interval)",
    "other_tasks": "other labelled tasks",
    "models": "pretrained models",
    "trainable": "a model can be trained",
    "left": "examples to train on, validation set apart",
    "left_each": "of them a class",
    "mistakes": "validation examples that the best so far gets wrong",
    "lead": "frozen over hand-made features (upper end of the interval)",
    "rows_per_width": "examples per dimension of the features",
    "memory_share": "share of the memory that training takes",
    "epochs": "passes that the budget allows",
    "epochs_part": "passes with the last third that the budget allows",
    "distance": "distance from the source data, in its standard deviations",
    "label_words": "similarity of label names to the source's",
}
# Where there are no classes, the same facts are of something else.
FACTS_FOR = {
    "regression": {"labels_each": "labelled examples"},
    "multi-label": {
        "labels_each": "examples that have a label, on average",
        "left_each": "of them that have a label, on average",
    },
}


class Facts(Mapping[str, Fact]):
    """Facts by name; what takes time to find out is found out when a question asks for it.

    `known`: values. `found_out`: functions that return one, each called once at most.
    """

    def __init__(
        self, known: Mapping[str, Fact], found_out: Mapping[str, Callable[[], Fact]] | None = None
    ) -> None:
        self._known, self._makers = dict(known), dict(found_out or {})
        unheard = sorted((set(self._known) | set(self._makers)) - set(FACTS))
        if unheard:
            raise KeyError(f"there is no fact {unheard[0]!r}; known: {', '.join(FACTS)}")

    def __getitem__(self, name: str) -> Fact:
        if name not in self._known:
            self._known[name] = self._makers[name]()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known | self._makers)

    def __len__(self) -> int:
        return len(self._known | self._makers)

    @property
    def told(self) -> dict[str, Fact]:
        """Return every fact; None for what nobody knows or has asked for."""
        return {name: self._known.get(name) for name in FACTS}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Condition(_Strict):
    """One comparison of a fact: with a number, or with the value that it must be.

    `tasks`: those that it is asked of; none named is all.
    """

    fact: str
    at_least: float | None = None
    at_most: float | None = None
    is_: str | bool | None = Field(default=None, alias="is")
    reason: str = Field(min_length=10)
    source: str = ""
    tasks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Condition:
        if self.fact not in FACTS:
            raise ValueError(f"there is no fact {self.fact!r}; known: {', '.join(FACTS)}")
        if sum(one is not None for one in (self.at_least, self.at_most, self.is_)) != 1:
            raise ValueError(f"{self.fact} needs one of at_least, at_most and is")
        return self

    def asked_of(self, task: Fact) -> bool:
        """Return whether it is asked of a task; of one that is not known, every condition is."""
        return task is None or not self.tasks or task in self.tasks

    def holds(self, value: Fact) -> bool | None:
        """Return whether it holds for a value; None where the value is not known."""
        if value is None:
            return None
        if self.is_ is not None:
            return value == self.is_
        number = float(value)
        return number >= self.at_least if self.at_least is not None else number <= self.most

    @property
    def most(self) -> float:
        return float("inf") if self.at_most is None else self.at_most

    @property
    def asked(self) -> str:
        """What is asked, in words."""
        if isinstance(self.is_, bool):
            return "yes" if self.is_ else "no"
        if self.is_ is not None:
            return self.is_
        if self.at_least is not None:
            return f"{self.at_least:g} or more"
        return f"{self.most:g} or less"


class Question(_Strict):
    """Answered yes where all conditions hold. `yes`, `no`, `unknown`: what follows.

    `text_for`: the question in words of a task that has no classes.
    """

    id: str
    text: str
    text_for: dict[str, str] = Field(default_factory=dict)
    when: tuple[Condition, ...] = Field(min_length=1)
    yes: str
    no: str
    unknown: str
    unknown_because: str = Field(min_length=10)

    def answer(self, facts: Mapping[str, Fact]) -> Literal["yes", "no", "not known"]:
        held = [condition.holds(facts.get(condition.fact)) for condition in self.of(facts)]
        if False in held:
            return "no"
        return "not known" if None in held else "yes"

    def of(self, facts: Mapping[str, Fact]) -> list[Condition]:
        """Return the conditions that are asked of the task."""
        return [one for one in self.when if one.asked_of(facts.get("task"))]

    def asked(self, task: Fact) -> str:
        """Return the question as it is put for a task."""
        return self.text_for.get(str(task), self.text)

    @property
    def branches(self) -> dict[str, str]:
        """Answer to what follows; "not known" only where it has a branch of its own."""
        found = {YES: self.yes, NO: self.no}
        return found if self.unknown in (YES, NO) else found | {"not known": self.unknown}


class Leaf(_Strict):
    """An advice. `methods`: trained methods to try beside frozen features, `settings` for them.

    What is not `built` yet is said, and the way goes on at the other branch of its question.
    """

    id: str
    title: str
    words: str
    methods: tuple[str, ...]
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    built: bool = True
    favoured: str = ""  # the method that is handed over unless held-out examples are against it
    favoured_because: str = ""

    @model_validator(mode="after")
    def _sound(self) -> Leaf:
        if self.favoured and (self.favoured not in self.methods or not self.favoured_because):
            raise ValueError(f"{self.id!r}: what is favoured must be a method of it, with a reason")
        return self


class Tree(_Strict):
    """Questions and leaves; every question has one place, a leaf may have several."""

    start: str
    question: tuple[Question, ...]
    leaf: tuple[Leaf, ...]

    @model_validator(mode="after")
    def _sound(self) -> Tree:
        ids = [*(q.id for q in self.question), *(leaf.id for leaf in self.leaf)]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is there twice")
        for question in self.question:
            lost = [to for to in question.branches.values() if to not in ids]
            if lost:
                raise ValueError(
                    f"question {question.id!r} leads to {lost[0]!r}, which is not there"
                )
        places = [self.start, *(to for q in self.question for to in q.branches.values())]
        for question in self.question:
            count = places.count(question.id)
            if count != 1:
                raise ValueError(f"question {question.id!r} has {count} places; a tree has one")
        reached = set(self._reached(self.start))
        lost = sorted(set(ids) - reached)
        if lost:
            raise ValueError(f"{lost[0]!r} cannot be reached from {self.start!r}")
        for question in self.question:
            self._check_unbuilt(question)
            if all(one.tasks for one in question.when):
                raise ValueError(f"question {question.id!r} asks nothing of some tasks")
        return self

    def _check_unbuilt(self, question: Question) -> None:
        """What is not built must stand at yes, with a way on at no."""
        leaves = {leaf.id: leaf for leaf in self.leaf}
        for answer, to in question.branches.items():
            if to in leaves and not leaves[to].built and answer != YES:
                raise ValueError(f"{to!r} is not built: it must stand at yes, with a way on at no")

    def _reached(self, id: str) -> Iterator[str]:
        yield id
        question = next((q for q in self.question if q.id == id), None)
        for to in question.branches.values() if question else ():
            yield from self._reached(to)

    def find(self, id: str) -> Question | Leaf:
        found: dict[str, Question | Leaf] = {q.id: q for q in self.question}
        return (found | {leaf.id: leaf for leaf in self.leaf})[id]


@lru_cache
def read_tree(path: Path = SHIPPED) -> Tree:
    """Read and check a tree. Raises UsageError that names file and field."""
    try:
        return Tree.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The tree {path} cannot be read: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "tree"
        raise UsageError(f"The tree {path}: {where}: {first['msg']}.") from None
