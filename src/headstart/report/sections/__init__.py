"""The sections of the report, in order. A new one is a file here and a line in SECTIONS."""

from __future__ import annotations

from typing import Any

from headstart.report.section import Section
from headstart.report.sections import (
    abstention,
    advice,
    calibration,
    checks,
    classes,
    comparison,
    confusion,
    cost,
    curve,
    data,
    diagnosis,
    examples,
    folds,
    groups,
    hardest,
    labels,
    made,
    metrics,
    notes,
    paired,
    recall,
    residuals,
    run,
    seeds,
    verdict,
)

SECTIONS: tuple[Section[Any], ...] = (
    verdict.SECTION,
    checks.SECTION,
    comparison.SECTION,
    paired.SECTION,
    folds.SECTION,
    seeds.SECTION,
    labels.SECTION,
    metrics.SECTION,
    classes.SECTION,
    groups.SECTION,
    confusion.SECTION,
    recall.SECTION,
    residuals.SECTION,
    hardest.SECTION,
    calibration.SECTION,
    abstention.SECTION,
    curve.SECTION,
    diagnosis.SECTION,
    cost.SECTION,
    examples.SECTION,
    data.SECTION,
    advice.SECTION,
    made.SECTION,
    run.SECTION,
    notes.SECTION,
)
