"""From facts to advice: a walk through the tree that keeps every turn with its reason."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.ranking.tree import (
    FACTS,
    FACTS_FOR,
    NO,
    YES,
    Condition,
    Fact,
    Facts,
    Leaf,
    Question,
    Tree,
    read_tree,
)  # fmt: skip
from headstart.records import Advice, AdviceNode, AdviceTurn

UNKNOWN = "not known"


def advise(facts: Mapping[str, Fact], tree: Tree | None = None) -> Advice:
    """Return the advice for `facts` (names of FACTS; one that is absent or None is not known).

    Pure: the same facts give the same advice. Raises KeyError for a fact that no tree asks for.
    """
    facts = facts if isinstance(facts, Facts) else Facts(facts)
    tree = tree or read_tree()
    place, turns = tree.find(tree.start), list[AdviceTurn]()
    taken, unbuilt, task = [tree.start], list[Leaf](), facts.get("task")
    while isinstance(place, Question):
        answer = place.answer(facts)
        took = place.unknown if answer == UNKNOWN else answer
        to = place.branches.get(took, took)
        found = tree.find(to)
        if isinstance(found, Leaf) and not found.built:
            unbuilt.append(found)
            taken.append(f"{place.id}/{to}")
            to = place.no
        turns.append(_turn(place, answer, took, facts))
        taken.append(f"{place.id}/{to}")
        place = tree.find(to)
    return Advice(
        leaf=place.id,
        title=place.title,
        words=place.words,
        methods=list(place.methods),
        settings={name: dict(values) for name, values in place.settings.items()},
        favoured=place.favoured,
        favoured_because=place.favoured_because,
        not_built=[leaf.title for leaf in unbuilt],
        turns=turns,
        unanswered=[
            f"{turn.question} Taken as: {turn.took}, because {_because(tree, turn, task)}."
            for turn in turns
            if turn.answer == UNKNOWN
        ],
        tree=_drawn(tree, tree.start, "", frozenset(taken), tree.start, task),
        facts=facts.told,
    )


def _because(tree: Tree, turn: AdviceTurn, task: Fact) -> str:
    return next(q.unknown_because for q in tree.question if q.asked(task) == turn.question)


def _turn(question: Question, answer: str, took: str, facts: Mapping[str, Fact]) -> AdviceTurn:
    """Keep of the conditions what decided: those that failed, or else all of them."""
    held = [(one, one.holds(facts.get(one.fact))) for one in question.of(facts)]
    wanted = {YES: True, NO: False, UNKNOWN: None}[answer]
    told = [condition for condition, holds in held if holds is wanted]
    task = facts.get("task")
    words = FACTS | FACTS_FOR.get(str(task), {})
    return AdviceTurn(
        question=question.asked(task),
        answer=answer,  # type: ignore[arg-type]
        took=took if took in (YES, NO) else "a further question",
        values=[f"{words[one.fact]}: {_value(facts.get(one.fact), one)}" for one in told],
        reason="; ".join(dict.fromkeys(_reason(one) for one in told)),
    )


def _reason(condition: Condition) -> str:
    return condition.reason + (f" ({condition.source})" if condition.source else "")


def _value(value: Fact, condition: Condition) -> str:
    """Write a value, and what it was held against."""
    if value is None:
        return f"{condition.asked} would be asked"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return f"{value}, asked {condition.asked}"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text}, asked {condition.asked}"


def _drawn(
    tree: Tree, id: str, answer: str, taken: frozenset[str], key: str, task: Fact
) -> AdviceNode:
    """Return the tree from `id` on, with the path marked. `key`: parent/id, unique on a path."""
    place = tree.find(id)
    if isinstance(place, Leaf):
        text = place.title + ("" if place.built else " (not built yet)")
        return AdviceNode(id=id, text=text, answer=answer, taken=key in taken)
    branches = [
        _drawn(tree, to, how, taken, f"{id}/{to}", task) for how, to in place.branches.items()
    ]
    text = place.asked(task)
    return AdviceNode(id=id, text=text, answer=answer, taken=key in taken, branches=branches)
