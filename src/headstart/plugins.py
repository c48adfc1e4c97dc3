"""One door for built-ins and plug-ins: a name to an object, built-ins first, then entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, TypeVar

from headstart.errors import PluginClash, UsageError


class Named(Protocol):
    """Anything that says its own name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)
Places = tuple[tuple[str, int], ...]


def _places() -> Places:
    """Return the folders that packages are imported from, each with when it last changed.

    Whatever is installed or removed adds or takes a folder there, so that its time changes.
    """
    found = []
    for path in sys.path:
        try:
            found.append((path, Path(path).stat().st_mtime_ns))
        except OSError:  # a zip that is not there, as Python lists one
            continue
    return tuple(found)


@lru_cache(maxsize=64)  # reading what is installed takes 10 to 30 ms, a small run asks 50 times
def _points(
    find: Callable[..., Iterable[EntryPoint]], group: str, places: Places
) -> tuple[EntryPoint, ...]:
    """Return the entry points of `group`, read again when `places` are no longer the same."""
    return tuple(find(group=group))


def registry(room: str, builtin: Iterable[T]) -> dict[str, T]:
    """Map names to objects: `builtin` first, then the entry points of group `headstart.<room>`.

    Raises PluginClash when two objects claim one name.
    """
    found: dict[str, T] = {}
    points = _points(entry_points, f"headstart.{room}", _places())
    for item in [*builtin, *(point.load() for point in points)]:
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
