"""Pictures, texts or sounds from the data, where the caller brought some. They are never read from
record.json: a fragment counts as safe only when `page.with_pictures` marked it in memory.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from headstart.records import RunRecord
from headstart.report.ranked import chosen_result
from headstart.report.section import Section, fill

BYTES = 1_500_000  # of fragments, here and among the hardest: the page stays below 6 MB
TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Facts:
    """Captions and fragments, in the caller's order, and how many had no room."""

    shown: tuple[tuple[str, Markup], ...]
    left_out: int


def fragment(value: object) -> Markup | None:
    """Return what shows one example: marked HTML as it is, PNG or JPEG bytes as a data URI."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, bytes):
        kind = next((k for start, k in TYPES.items() if value.startswith(start)), None)
        if kind:
            text = b64encode(value).decode()
            return fill('<img src="data:{{ k }};base64,{{ t }}" alt="">', k=kind, t=text)
    return None


def collect(record: RunRecord) -> Facts | None:
    pictures = getattr(record, "pictures", None)
    if not isinstance(pictures, Mapping):
        return None
    shown: list[tuple[str, Markup]] = []
    room = BYTES
    best = chosen_result(record)
    hardest = {e.id for e in best.hardest} if best else set()  # they have a section of their own
    usable = [
        (str(k), made)
        for k, v in pictures.items()
        if str(k) not in hardest and (made := fragment(v)) is not None
    ]
    for caption, made in usable:
        if len(made) <= room:
            room -= len(made)
            shown.append((caption, made))
    return Facts(tuple(shown), len(usable) - len(shown)) if usable else None


TEMPLATE = """
<div class="gallery">{% for caption, fragment in facts.shown %}
<figure>{{ fragment }}<figcaption>{{ caption }}</figcaption></figure>{% endfor %}</div>
{% if facts.left_out %}
<p>{{ facts.left_out|counted("example") }} had no room on this page.</p>
{% endif %}
"""


def render(facts: Facts) -> str:
    return fill(TEMPLATE, facts=facts)


SECTION = Section("examples", "Examples", collect, render)
