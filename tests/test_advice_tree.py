"""The tree of advice: every leaf, every turn said, and files that are no tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.errors import UsageError
from headstart.ranking.advise import advise
from headstart.ranking.tree import FACTS, SHIPPED, Fact, Facts, read_tree
from headstart.records import AdviceNode

# Two thousand pictures of ten classes, a small model, ten minutes: everything is known.
PLENTY: dict[str, Fact] = {
    "labels_each": 250, "task": "classification", "modality": "image", "domain_accuracy": 0.5,
    "other_tasks": 0, "models": 2, "trainable": True, "left": 2000, "left_each": 200, "lead": 0.1,
    "mistakes": 40,
    "rows_per_width": 1.6, "memory_share": 0.1, "epochs": 9, "epochs_part": 30, "distance": 0.4,
    "label_words": 0.3,
}  # fmt: skip
SCARCE: dict[str, Fact] = {"rows_per_width": 0.3, "left": 400, "left_each": 40}
TEXTS: dict[str, Fact] = {"modality": "text", "labels_each": 8, "left": 12, "left_each": 6}

LEAVES: list[tuple[str, dict[str, Fact], str]] = [
    ("one label a class", {"labels_each": 1}, "collect"),
    ("no model", {"models": 0}, "simple"),
    ("an ONNX model alone", {"trainable": False}, "frozen"),
    ("eight texts a class", TEXTS, "few-shot"),
    ("eight pictures a class", TEXTS | {"modality": "image"}, "frozen"),
    ("values for eight texts", TEXTS | {"task": "regression"}, "frozen"),
    ("many classes of 13 texts", {"modality": "text", "labels_each": 13, "left": 800,
                                  "left_each": 10.4}, "few-shot-and-full"),
    ("too few to validate by", {"left": 199}, "frozen"),
    ("too few a class", {"left_each": 9.9}, "frozen"),
    ("nothing left to mend", {"mistakes": 5}, "frozen"),
    ("features far behind", {"lead": -0.01}, "full"),
    ("features far behind, few", {"lead": -0.01} | SCARCE, "simple"),
    ("a model too large", {"memory_share": 0.9}, "peft"),
    ("time for the back alone", {"epochs": 0.5, "epochs_part": 2}, "partial"),
    ("time for nothing", {"epochs": 0.5, "epochs_part": 0.5}, "frozen"),
    ("plenty", {}, "full"),
    ("few and near", SCARCE, "partial"),
    ("few and far", SCARCE | {"distance": 2.0}, "full"),
    ("few, near by name", SCARCE | {"distance": None, "label_words": 0.7}, "partial"),
    ("few, far by name", SCARCE | {"distance": None, "label_words": 0.2}, "full"),
    ("few, nothing known", SCARCE | {"distance": None, "label_words": None}, "full"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "leaf"), [(f, leaf) for _, f, leaf in LEAVES],
                         ids=[name for name, _, _ in LEAVES])  # fmt: skip
def test_every_leaf(facts: dict[str, Fact], leaf: str) -> None:
    found = advise(PLENTY | facts)
    assert found.leaf == leaf
    assert not found.not_built
    ends = [node for node in marked(found.tree) if not node.branches]
    assert [end.id for end in ends] == [leaf]


@pytest.mark.parametrize(
    ("facts", "title"),
    [({"domain_accuracy": 0.9}, "Domain adaptation"), ({"other_tasks": 2}, "Multi-task training")],
)
def test_what_is_not_built_is_said_and_the_next_best_named(
    facts: dict[str, Fact], title: str
) -> None:
    found = advise(PLENTY | facts)
    assert found.not_built == [title]
    assert found.leaf == "full" and found.methods == ["finetune"]
    assert f"{title} (not built yet)" in [n.text for n in marked(found.tree) if not n.branches]


def test_the_leaves_are_all_tested() -> None:
    tested = {leaf for _, _, leaf in LEAVES} | {"domain-adaptation", "multi-task"}
    assert tested == {leaf.id for leaf in read_tree().leaf}


def test_both_sides_of_every_threshold() -> None:
    """A condition turns exactly where its number stands."""
    for question in read_tree().question:
        for condition in question.when:
            if condition.at_least is not None:
                assert condition.holds(condition.at_least)
                assert condition.holds(condition.at_least - 1e-9) is False
            if condition.at_most is not None:
                assert condition.holds(condition.at_most)
                assert condition.holds(condition.at_most + 1e-9) is False
            assert condition.holds(None) is None


def test_nothing_known_gives_an_advice_and_says_what_was_assumed() -> None:
    found = advise({})
    assert found.leaf == "frozen"
    assert len(found.unanswered) == len(found.turns) >= 6
    assert all("because" in line for line in found.unanswered)


def test_a_failed_condition_answers_no_whatever_else_is_unknown() -> None:
    turn = next(t for t in advise({"modality": "image"}).turns if "64 labels" in t.question)
    assert turn.answer == "no" and turn.values == ["modality: image, asked text"]


def test_turns_say_values_and_reasons() -> None:
    turn = advise(PLENTY | {"left": 100}).turns[-1]
    assert turn.answer == turn.took == "no"
    assert turn.values == ["examples to train on, validation set apart: 100, asked 200 or more"]
    assert "5.7 points" in turn.reason


def test_5_7_points_are_right() -> None:
    assert round(100 * (0.8 * 0.2 / 50) ** 0.5, 1) == 5.7


def test_the_path_is_one_line_from_the_start() -> None:
    node, ids = advise(PLENTY).tree, []
    while True:
        assert node.taken
        ids.append(node.id)
        on = [branch for branch in node.branches if branch.taken]
        if not on:
            break
        assert len(on) == 1
        node = on[0]
    assert ids[0] == "labels" and ids[-1] == "full"


def test_a_misspelt_fact_is_an_error() -> None:
    with pytest.raises(KeyError, match="label_each"):
        advise({"label_each": 3})


def test_all_facts_are_asked_and_methods_exist() -> None:
    from headstart.adapt import BUILTIN

    tree = read_tree()
    assert {one.fact for q in tree.question for one in q.when} == set(FACTS)
    methods = {method.name: method for method in BUILTIN}
    for leaf in tree.leaf:
        assert set(leaf.methods) <= set(methods)
        for name, settings in leaf.settings.items():
            assert all(hasattr(methods[name], field) for field in settings)


TEXT = SHIPPED.read_text("utf-8")
BROKEN = [
    (TEXT.replace('no = "collect"', 'no = "colect"'), "'colect', which is not there"),
    (TEXT.replace('no = "tasks"', 'no = "labels"'), "2 places"),
    (TEXT.replace('fact = "left"', 'fact = "lefft"', 1), "no fact 'lefft'"),
    (TEXT.replace("at_least = 200", "at_leest = 200", 1), "at_leest"),
    (TEXT.replace("at_least = 200\n", "", 1), "needs one of at_least, at_most and is"),
    (TEXT.replace('id = "simple"', 'id = "frozen"'), "there twice"),
    (TEXT.replace('id = "frozen"\n', 'id = "frozen"\nbuilt = false\n'), "must stand at yes"),
    (TEXT + '[[leaf]]\nid = "lost"\ntitle = "x"\nwords = "x"\nmethods = []\n', "be reached"),
    ("start = ", "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_a_file_that_is_no_tree_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "tree.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=words):
        read_tree(path)


def marked(node: AdviceNode) -> list[AdviceNode]:
    """Return the nodes on the path."""
    below = [one for branch in node.branches for one in marked(branch)]
    return [node, *below] if node.taken else below


def test_what_takes_time_is_found_out_when_it_is_asked_for() -> None:
    calls = []

    def maker(name: str, value: Fact) -> Callable[[], Fact]:
        return lambda: calls.append(name) or value  # type: ignore[func-returns-value]

    slow = {name: maker(name, PLENTY[name]) for name in ("epochs", "epochs_part", "distance")}
    known = {name: value for name, value in PLENTY.items() if name not in slow}
    few = advise(Facts(known | {"left": 100}, slow))
    assert few.leaf == "frozen" and not calls
    many = Facts(known, slow)
    assert advise(many).leaf == advise(PLENTY).leaf and calls == ["epochs"]
    assert advise(many).facts == PLENTY | {"epochs_part": None, "distance": None}
    assert calls == ["epochs"]
    with pytest.raises(KeyError, match="no fact 'epoch'"):
        Facts({}, {"epoch": lambda: 1.0})
