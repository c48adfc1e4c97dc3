"""Built-ins and plug-ins come through one door; a clash of names raises."""

from __future__ import annotations

from dataclasses import dataclass
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
