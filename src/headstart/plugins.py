"""One door for built-ins and plug-ins: a name to an object, built-ins first, then entry points."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from headstart.errors import PluginClash, UsageError


class Named(Protocol):
    """Anything that says its own name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def registry(room: str, builtin: Iterable[T]) -> dict[str, T]:
    """Map names to objects: `builtin` first, then the entry points of group `headstart.<room>`.

    Raises PluginClash when two objects claim one name.
    """
    found: dict[str, T] = {}
    for item in [*builtin, *(point.load() for point in entry_points(group=f"headstart.{room}"))]:
        if item.name in found:
            raise PluginClash(
                f"Two plug-ins of {room!r} are called {item.name!r}: {found[item.name]!r} and "
                f"{item!r}. Uninstall one of the packages that bring them."
            )
        found[item.name] = item
    return found


def named(room: str, builtin: Iterable[T], name: str) -> T:
    """Return the object called `name`. Raises UsageError that lists the names there are."""
    known = registry(room, builtin)
    if name not in known:
        raise UsageError(f"Unknown {room} {name!r}; known: {', '.join(sorted(known))}.")
    return known[name]
