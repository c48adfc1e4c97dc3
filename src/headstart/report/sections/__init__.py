"""The sections of the report, in order. A new one is a file here and a line in SECTIONS."""

from __future__ import annotations

from typing import Any

from headstart.report.section import Section
from headstart.report.sections import (
    advice,
    classes,
    comparison,
    confusion,
    curve,
    data,
    examples,
    made,
    metrics,
    notes,
    run,
    verdict,
)

SECTIONS: tuple[Section[Any], ...] = (
    verdict.SECTION,
    comparison.SECTION,
    metrics.SECTION,
    classes.SECTION,
    confusion.SECTION,
    curve.SECTION,
    examples.SECTION,
    data.SECTION,
    advice.SECTION,
    made.SECTION,
    run.SECTION,
    notes.SECTION,
)
