"""What a section of the report is: facts gathered from the record, then drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from headstart.report import words

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Section(Generic[F]):
    """One part of a page. `collect` returns None where its source has nothing for it.

    The source is a RunRecord; that of a page on several runs is a Contest.
    """

    name: str  # the anchor: letters and hyphens
    title: str
    collect: Callable[[Any], F | None]
    render: Callable[[F], str]  # an HTML fragment in which all data is escaped


@cache
def environment() -> Environment:
    """Return the one jinja environment: everything is escaped, and a missing name is an error."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(
        duration=words.duration, counted=words.counted, metric_title=words.metric_title
    )
    return made


@cache
def _template(source: str) -> Template:
    return environment().from_string(source)


def fill(source: str, **values: Any) -> Markup:
    """Return the jinja template `source` filled with `values`, which are escaped."""
    return Markup(_template(source).render(**values))  # escaped by autoescape
