"""Write the report: one HTML file that needs nothing else, made by walking SECTIONS."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headstart.errors import RunError
from headstart.records import RunRecord
from headstart.report import words
from headstart.report.section import Section, fill
from headstart.report.sections import SECTIONS


def packaged(name: str) -> str:
    """Return the text of a file that lies beside this module."""
    return files("headstart.report").joinpath(name).read_text(encoding="utf-8")


def with_pictures(record: RunRecord, pictures: Mapping[str, Any] | None) -> RunRecord:
    """Return the record with examples to show: caption -> HTML fragment (str) or PNG/JPEG bytes.

    A fragment must be self-contained and escaped already, as `Modality.show` gives it. Whatever
    the record itself calls `pictures` is dropped: files are not trusted with HTML.
    """
    safe = {
        caption: Markup(value) if isinstance(value, str) else value
        for caption, value in (pictures or {}).items()
    }
    return record.model_copy(update={"pictures": safe})


def render(record: RunRecord, *, pictures: Mapping[str, Any] | None = None) -> str:
    """Return the report as one HTML page; reads nothing but the record."""
    record = with_pictures(record, pictures)
    under = f"{words.sentence(record.task.lower())}, {record.data.modality}"
    return assembled(
        SECTIONS,
        record,
        headline=words.headline(record),
        name=record.data.name,
        under=f"{under}, {record.created[:10]}" if record.created else under,
        version=record.headstart,
        made_from="record.json",
    )


def assembled(sections: Sequence[Section[Any]], source: Any, **head: str) -> str:
    """Return a page of what `sections` find in `source`.

    head: headline, name, under (a line below the name), version of Headstart, made_from.
    """
    gathered = [(section, section.collect(source)) for section in sections]
    parts = [(s, Markup(s.render(facts))) for s, facts in gathered if facts is not None]
    script = packaged("page.js")
    page = fill(
        packaged("page.html.jinja"),
        sections=parts,
        style=Markup(packaged("page.css")),
        script=Markup(script),
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **head,
    )
    return page.rstrip() + "\n"


def write_report(
    record: RunRecord, path: Path, *, pictures: Mapping[str, Any] | None = None
) -> None:
    """Write the report to `path`, whole or not at all. Raises RunError where that fails."""
    write_whole(render(record, pictures=pictures).encode(), path, "report")


def write_whole(content: bytes, path: Path, what: str) -> None:
    """Write `content` to `path`, whole or not at all. Raises RunError where that fails."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise RunError(
            f"The {what} cannot be written to {path}: {error.strerror or error}. "
            "Free some space or name another place."
        ) from None
