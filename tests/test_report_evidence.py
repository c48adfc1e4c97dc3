"""Facts and drawings of the sections of evidence, against numbers worked out beside them."""

from __future__ import annotations

import doctest
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import records_for_tests as samples
from evidence_for_tests import evidence
from headstart.records import Check, PrecisionRecall, RunRecord
from headstart.report import plot, safe
from headstart.report.page import render, with_pictures
from headstart.report.sections import (
    abstention,
    calibration,
    checks,
    classes,
    cost,
    diagnosis,
    examples,
    folds,
    groups,
    hardest,
    labels,
    paired,
    recall,
    residuals,
    seeds,
)
from headstart.report.terminal import summary

KINDS = ("classification", "multi-label", "regression")


@pytest.fixture(scope="module")
def records() -> dict[str, RunRecord]:
    return {kind: evidence(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def record(records: dict[str, RunRecord]) -> RunRecord:
    return records["classification"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_makes_a_page(records: dict[str, RunRecord], kind: str) -> None:
    page = render(records[kind])
    shown = set(re.findall(r'<section id="([\w-]+)"', page))
    always = {"verdict", "paired", "folds", "seeds", "labels", "groups", "hardest", "diagnosis",
              "cost"}  # fmt: skip
    assert always <= shown
    assert {"calibration", "recall"} <= shown or kind == "regression"
    assert ("residuals" in shown) == (kind == "regression")
    assert ("abstention" in shown) == (kind == "classification")
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S).replace("nance", "")
    assert len(page) < 1_000_000


def test_a_record_of_before_has_none_of_it() -> None:
    old = samples.classification()
    for section in (abstention, calibration, checks, folds, groups, hardest, labels, paired, recall,
                    residuals, seeds):  # fmt: skip
        assert section.collect(old) is None, section


def test_the_terminal_says_what_was_found(record: RunRecord) -> None:
    out = io.StringIO()
    Console(file=out, width=200).print(summary(record))
    text = out.getvalue()
    for part in ("Handed over: probe: m. It is clearly better",
                 "Over folds: No clear difference: accuracy +33.8 points",
                 "Over seeds: It varies.", "Labels: probe: m saves labels.",
                 "Warning: Leak: row 7."):  # fmt: skip
        assert part in text


def test_facts_of_paired(record: RunRecord) -> None:
    facts = paired.collect(record)
    assert facts is not None and facts.candidate == "probe: m"
    assert [c.against for c in facts.comparisons] == ["majority", "simple: pixels",
                                                      "from scratch: m"]  # fmt: skip
    shown = str(paired.render(facts))
    assert facts.comparisons[1].words.replace("'", "&#39;") in shown
    assert "clearly better than every simpler result" in shown
    assert doctest.testmod(paired).failed == 0
    # A constant baseline does not squeeze the others: it is left to an arrow.
    first = facts.comparisons[0].difference
    near = [first.model_copy(update={"value": v, "low": v - 0.01, "high": v + 0.01})
            for v in (0.02, 0.03, 0.9)]  # fmt: skip
    assert paired.scale_of(near).high < 0.1
    assert paired.scale_of(near[1:2]).high >= 0.03


def test_facts_of_checks() -> None:
    many = [[f"row {i}", f"row {i + 100}"] for i in range(130)]
    found = [Check(name="leak", level="warning", words="Leak: <b>130</b>", examples=many)]
    facts = checks.collect(samples.classification().model_copy(update={"checks": found}))
    assert facts is not None
    shown = str(checks.render(facts))
    assert "130 entries" in shown and "row 99 is row 199" in shown and "row 100 is" not in shown
    assert "<b>130" not in shown and "All of them are in record.json" in shown


def test_facts_of_folds(record: RunRecord) -> None:
    facts = folds.collect(record)
    assert facts is not None
    assert facts.gaps == (pytest.approx((0.4, 0.2, 0.3, 0.45)),)
    assert np.mean(facts.gaps[0]) == pytest.approx(facts.found[0].difference.value)
    shown = str(folds.render(facts))
    assert shown.count('class="fold"') == 4 and "2 folds" in shown and "2 times" in shown


def test_facts_of_seeds(record: RunRecord) -> None:
    facts = seeds.collect(record)
    assert facts is not None and facts.spreads[0].values == [0.6, 0.7, 0.65]
    shown = str(seeds.render(facts)).replace("\u00a0", " ")
    assert shown.count('class="fold"') == 3 and "standard deviation 5.0 points" in shown


def test_facts_of_labels(record: RunRecord) -> None:
    facts = labels.collect(record)
    assert facts is not None and facts.words == ("probe: m saves labels.",)
    first = facts.lines[0]
    assert first.draws[:2] == ((10, pytest.approx(0.7)), (10, pytest.approx(0.67)))
    n, value, low, high = first.law[0]
    assert (n, value) == (10.0, pytest.approx(0.7))
    assert (low, high) == (pytest.approx(0.67), pytest.approx(0.73))  # the error's bounds, turned
    shown = str(labels.render(facts))
    assert shown.count("dot many d0") == 8 and shown.count("dot many d1") == 8


def test_facts_of_calibration(record: RunRecord) -> None:
    facts = calibration.collect(record)
    assert facts is not None and len(facts.rows) == 4
    assert facts.calibration.error == record.results[3].calibration.error  # type: ignore[union-attr]
    assert "temperature of 1.3" in facts.how and "less sure" in facts.how
    bins = facts.calibration.bins
    assert sum(b.count for b in bins) == 120
    assert str(calibration.render(facts)).count('class="dot main"') == len(bins)
    flat = record.results[0].model_copy(update={"details": {"calibration": "isotonic"}})
    assert "rising curve" in calibration.how_calibrated(flat)


def test_facts_of_abstention(record: RunRecord) -> None:
    facts = abstention.collect(record)
    assert facts is not None
    points = facts.abstention.points
    assert points[-1].coverage == 1.0
    assert points[-1].accuracy.value == pytest.approx(record.results[3].metrics["accuracy"].value)
    told = abstention.gained(facts).replace("\u00a0", " ")
    gain = points[7].accuracy.value - points[-1].accuracy.value
    assert abs(points[7].coverage - 0.8) < 0.01 and f"{100 * gain:+.1f}"[:3] in told
    assert str(abstention.render(facts)).count('class="dot main"') == len(points)


def test_facts_of_groups(record: RunRecord) -> None:
    facts = groups.collect(record)
    assert facts is not None and len(facts.rows) == 5 and facts.apart == ()
    values = [row.metrics["accuracy"].value for row in facts.rows]
    assert values == sorted(values) and sum(row.count for row in facts.rows) == 120
    worst = (
        facts.rows[0].metrics["accuracy"].model_copy(update={"value": 0.1, "low": 0.0, "high": 0.3})
    )
    # Alike by construction: the interval of site 2 alone leaves the whole out, of 5 it may.
    assert (facts.rows[0].metrics["accuracy"].high or 1) < (facts.whole or 0)
    assert groups.widened(1) == 1.0 and groups.widened(5) == pytest.approx(2.5758 / 1.96, abs=1e-4)
    weak = facts.rows[0].model_copy(update={"metrics": {"accuracy": worst}})
    chosen = record.results[3].model_copy(update={"groups": [weak, *facts.rows[1:]]})
    changed = record.model_copy(update={"results": [*record.results[:3], chosen]})
    found = groups.collect(changed)
    assert found is not None and found.apart == (weak.group,)
    assert "Clearly worse than the whole" in str(groups.render(found))
    assert groups.collect(evidence(groups=False)) is None


def test_facts_of_class_intervals(record: RunRecord) -> None:
    facts = classes.collect(record)
    assert facts is not None
    label, scores = facts.rows[0]
    measured = facts.intervals[label]["recall"]
    assert measured.value == pytest.approx(scores["recall"])
    assert measured.low is not None and measured.low < scores["recall"] <= (measured.high or 0)


def test_facts_of_hardest(record: RunRecord) -> None:
    shown = with_pictures(record, {"row 7": "<q>text</q>", "another": "<i>x</i>"})
    facts = hardest.collect(shown)
    assert facts is not None
    assert [(e.id, made is not None) for e, made in facts.shown] == [("row 7", True),
                                                                     ("row 8", False)]  # fmt: skip
    text = str(hardest.render(facts))
    assert "<q>text</q>" in text and "b (0.91)" in text and "not at\nhand" not in text
    others = examples.collect(shown)
    assert others is not None and [caption for caption, _ in others.shown] == ["another"]
    bare = hardest.collect(record)
    assert bare is not None and "was not at\nhand" in str(hardest.render(bare))
    evil = with_pictures(record, {"row 7": "x"}).model_copy(update={"pictures": {"row 7": "<b>"}})
    held = hardest.collect(evil)  # what the file itself calls pictures is not trusted
    assert held is not None and held.shown[0][1] is None


def test_facts_of_recall(record: RunRecord) -> None:
    facts = recall.collect(record)
    assert facts is not None and facts.examples == 120
    areas = [c.average_precision.value for _, c in facts.curves]
    assert areas == sorted(areas) and len(areas) == 3
    curve = PrecisionRecall(
        average_precision=facts.curves[0][1].average_precision, positives=2,
        recall=[0.5, 1.0, 1.0], precision=[1.0, 1.0, 0.5], threshold=[0.9, 0.6, 0.1],
    )  # fmt: skip
    assert recall.best_cut(curve) == (0.6, 1.0, 1.0, 1.0)
    assert recall.points_of(curve) == [(0.5, 1.0), (1.0, 1.0), (1.0, 0.5)]
    long = curve.model_copy(update={"recall": [i / 999 for i in range(1000)],
                                    "precision": [1.0] * 1000})  # fmt: skip
    thinned = recall.points_of(long)
    assert len(thinned) <= recall.POINTS * 1.2 and thinned[-1][0] == 1.0


def test_facts_of_residuals(records: dict[str, RunRecord]) -> None:
    facts = residuals.collect(records["regression"])
    assert facts is not None and facts.target == "speed"
    gaps = [predicted - true for true, predicted in facts.residuals.points]
    assert np.mean(gaps) == pytest.approx(facts.residuals.bias.value)  # all 120 are drawn
    assert str(residuals.render(facts)).count("dot main many") == 240
    assert residuals.collect(records["classification"]) is None


def test_facts_of_diagnosis(record: RunRecord) -> None:
    facts = diagnosis.collect(record)
    assert facts is not None and [name for name, _ in facts.found] == ["probe: m"]
    shown = str(diagnosis.render(facts))
    assert "overfit" in shown and "Stop earlier." in shown


def test_facts_of_cost(record: RunRecord) -> None:
    facts = cost.collect(record)
    assert facts is not None and facts.entries[0].name == "probe: m" and facts.entries[0].chosen
    assert facts.entries[0].seconds == 5.0  # what predicting took is told apart
    assert facts.entries[0].predict == pytest.approx(0.5)  # 0.06 s for 120 examples
    few = record.model_copy(update={"results": record.results[:1]})
    assert cost.collect(few) is None


def test_what_shows_examples_comes_back_clean(tmp_path: Path) -> None:
    assert doctest.testmod(safe).failed == 0
    image = '<img src="data:image/png;base64,iVBORw0KGgo=" alt="a &quot;b&quot;">'
    sound = '<audio controls src="data:audio/ogg;base64,T2dn"></audio>'
    for good in (image.replace("&quot;", "&#34;"), f"<figure>{sound}</figure>", "<q>x &amp; y</q>"):
        assert safe.cleaned(good) == good
    for bad in (
        "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<iframe src=javascript:1>",
        '<img src="data:image/svg+xml;base64,AA==">', '<img src="https://a.b/c.png">',
        "<figure style='x'><a href='javascript:1'>y</a>", "<q><script>alert(1)</script>",
        '<audio src="data:text/html;base64,AA==" autoplay>', "<q>&lt;script&gt;",
        "<img alt='\"><script>1</script>'>", "<!-- <script> --><style>*{}</style>",
    ):  # fmt: skip
        found = safe.cleaned(bad)
        assert not re.search(
            r"<(script|svg|iframe|a|style)\b|onerror=|javascript|https|style=|"
            r"autoplay|svg\+xml|text/html",
            re.sub(r'alt="[^"]*"', "", found),
        ), bad
        assert re.sub(r"<(/?)(figure|img|audio|q|em)\b[^<>]*>", "", found).count("<") == 0, bad
        assert found.count("<q>") == found.count("</q>"), bad
    path = tmp_path / "examples.json"
    assert safe.read_examples(path) == {}
    for broken in ("{", "[1]", '{"a": 3}'):
        path.write_text(broken)
        assert safe.read_examples(path) == {}
    path.write_text('{"row 1": "<q onclick=x>t</q>"}')
    assert safe.read_examples(path) == {"row 1": "<q>t</q>"}


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.001, 10.0), (20, 1200), (10, 13), (3, 5), (1.38, 2.91), (5, 5), (1e-3, 1e6)],
)
def test_a_log_axis_holds_its_ends_and_has_ticks(low: float, high: float) -> None:
    scale, texts = plot.log_axis(low, high)
    assert scale.low <= math.log10(low) and scale.high >= math.log10(high)
    assert len(texts) == len(scale.ticks) >= 2
    assert all(scale.low - 1e-6 <= t <= scale.high + 1e-6 for t in scale.ticks)
    for tick, text in zip(scale.ticks, texts, strict=True):
        assert 10**tick == pytest.approx(float(text.replace(",", "")), rel=1e-3)


def test_a_plane_puts_high_values_up_and_keeps_strays_at_the_edge() -> None:
    scale, texts = plot.share_axis([0.0, 1.0])
    plane = plot.Plane(scale, scale, texts, texts)
    assert plane.place((0.0, 1.0)) == (3.0, 4.0) and plane.place((1.0, 0.0)) == (97.0, 96.0)
    assert plane.place((0.5, 7.0)) == (50.0, 4.0)
    with_title = plot.dots(plane, [(0.5, 0.5)], "x", ["<evil>"])[0]
    assert "&lt;evil&gt;" in with_title
