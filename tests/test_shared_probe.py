"""Floors under the probe on real data and weights; `make bench WHAT=probe` prints the table."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("name", "floor", "gain"),
    # The floor on test accuracy, and how far the probe is above the simple model where it truly is:
    # fsdd is spoken digits, where MFCC statistics know more than YAMNet does.
    [("hymenoptera", 0.93, 0.15), ("instruments", 0.80, 0.05)],
)
def test_the_probe_reaches_its_floor(shared: Path, name: str, floor: float, gain: float) -> None:
    from bench.cases import cases
    from bench.probe import measure

    case = next(case for case in cases() if case.name == name)
    found = measure(case, rival=name == "hymenoptera")
    assert found["ours"] >= floor
    # Two or fewer of 153 test examples.
    assert found["ours"] >= found.get("theirs", 0.0) - 0.0151
    assert found["ours"] >= found["simple"] + gain
