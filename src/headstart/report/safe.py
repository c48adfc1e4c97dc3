"""HTML that shows an example, brought back from a file: only what is known to be harmless is kept.

A RUN folder may come from anybody. Its fragments are taken apart and written anew from a short list
of tags; pictures and sounds only as data of known types, no link, no script, no style.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from markupsafe import Markup, escape

TAGS = frozenset({"figure", "img", "audio", "q", "em"})
EMPTY = frozenset({"img"})
SOURCE = re.compile(
    r"data:(image/(png|jpeg|webp|gif)|audio/(ogg|flac|mpeg|wav|x-wav|webm)"
    r"(;\s*codecs=\"?\w+\"?)?);base64,[A-Za-z0-9+/=]+"
)
LARGEST = 8_000_000  # bytes of the file that are read


class _Rebuilt(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[Markup] = []
        self.open: list[str] = []
        self.hidden = 0  # depth inside script or style, whose text is no text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self.hidden += 1
        if tag not in TAGS:
            return
        kept = Markup("")
        for name, value in attrs:
            text = value or ""
            if name == "src" and SOURCE.fullmatch(text):
                kept += Markup(' src="{}"').format(text)
            elif name == "alt" and tag == "img":
                kept += Markup(' alt="{}"').format(text)
            elif name == "controls" and tag == "audio":
                kept += Markup(" controls")
        self.parts.append(Markup("<{}{}>").format(Markup(tag), kept))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.hidden = max(0, self.hidden - 1)
        if tag in self.open:
            while (last := self.open.pop()) != tag:
                self.parts.append(Markup(f"</{last}>"))
            self.parts.append(Markup(f"</{tag}>"))

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(escape(data))


def cleaned(fragment: str) -> Markup:
    """Return the fragment with nothing in it but known tags, data and escaped text.

    >>> str(cleaned('<q onclick="x()">a &lt; b</q><script>evil()</script>'))
    '<q>a &lt; b</q>'
    """
    parser = _Rebuilt()
    parser.feed(fragment)
    parser.close()
    closing = [Markup(f"</{tag}>") for tag in reversed(parser.open)]
    return Markup("").join([*parser.parts, *closing])


def read_examples(path: Path) -> dict[str, str]:
    """Return id to a cleaned fragment; {} where the file is absent, broken or too large."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(raw, dict):
        return {}
    return {key: cleaned(value) for key, value in raw.items() if isinstance(value, str)}
