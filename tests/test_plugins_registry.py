"""Built-ins and plug-ins come through one door; a clash of names raises."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from headstart import plugins
from headstart.errors import PluginClash, UsageError
from headstart.plugins import named, registry


@dataclass(frozen=True)
class Thing:
    name: str
    size: int = 0


class Point:
    """An entry point as importlib.metadata gives it."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def load(self) -> Any:
        return self._thing


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Point]]:
    groups: dict[str, list[Point]] = {}
    monkeypatch.setattr(plugins, "entry_points", lambda group: groups.get(group, []))
    return groups


def test_built_ins_come_first_then_what_is_installed(installed: dict[str, list[Point]]) -> None:
    installed["headstart.things"] = [Point(Thing("new", 3))]
    found = registry("things", [Thing("a"), Thing("b")])
    assert list(found) == ["a", "b", "new"] and found["new"].size == 3
    assert named("things", [Thing("a")], "new").size == 3
    assert list(registry("other", [Thing("a")])) == ["a"]


def test_a_clash_of_names_names_both(installed: dict[str, list[Point]]) -> None:
    installed["headstart.things"] = [Point(Thing("a", 7))]
    with pytest.raises(PluginClash, match=r"'things'.*'a'.*size=0.*size=7"):
        registry("things", [Thing("a")])
    with pytest.raises(PluginClash):
        registry("things", [Thing("b"), Thing("b")])


def test_an_unknown_name_lists_those_there_are(installed: dict[str, list[Point]]) -> None:
    with pytest.raises(UsageError, match=r"Unknown things 'c'; known: a, b"):
        named("things", [Thing("b"), Thing("a")], "c")


def test_a_package_installed_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = list[str]()

    def counted(group: str) -> Any:
        reads.append(group)
        return entry_points(group=group)

    monkeypatch.setattr(plugins, "entry_points", counted)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(3):
        assert list(registry("late", [Thing("a")])) == ["a"]
    assert reads == ["headstart.late"]
    (tmp_path / "late_things.py").write_text("class New:\n    name = 'new'\n", "utf-8")
    facts = tmp_path / "late_things-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: late-things\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[headstart.late]\nnew = late_things:New\n", "utf-8")
    assert list(registry("late", [Thing("a")])) == ["a", "new"]
    shutil.rmtree(facts)
    assert list(registry("late", [Thing("a")])) == ["a"]
