"""Facts of every section, numbers in words, axes, the table, the terminal and the model card."""

from __future__ import annotations

import doctest
import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

import records_for_tests as samples
from headstart.data.task import TASKS
from headstart.evaluate.metrics import metric as metric_of
from headstart.records import Interval, RunRecord
from headstart.report import advised, card, draw, words
from headstart.report.ranked import best_first, handed_over, metric_names
from headstart.report.sections import (
    SECTIONS,
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
from headstart.report.table import Cell, Column, Row, render_table
from headstart.report.terminal import summary

CHOSEN = "finetune: mobilenet_v2_100_224"


def spoken(record: RunRecord, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(summary(record))
    return out.getvalue().replace("\u00a0", " ")


def test_doctests_of_words() -> None:
    assert doctest.testmod(words).failed == 0
    assert doctest.testmod(advised).failed == 0


def test_sections_have_distinct_names_and_a_test_of_their_facts() -> None:
    names = [section.name for section in SECTIONS]
    assert len(set(names)) == len(names)
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_report_*.py"))
    tested = re.findall(r"def test_facts_of_(\w+)", tests)
    assert [name for name in names if name not in tested] == []


def test_facts_of_verdict() -> None:
    facts = verdict.collect(samples.classification())
    assert (facts.headline, facts.tone, facts.state) == ("Transfer helps", "good", "")
    assert facts.sentence.startswith("Fine-tuning")  # the headline is not said twice
    assert facts.examples == 372 and not facts.chosen_is_baseline
    assert facts.score is not None and facts.score.value == 0.8817
    hurt = verdict.collect(samples.multi_label())
    assert (hurt.headline, hurt.tone, hurt.chosen_is_baseline) == ("Transfer hurts", "bad", True)
    even = verdict.collect(samples.regression())
    assert (even.headline, even.tone) == ("No clear difference", "even")
    early = verdict.collect(samples.unfinished("running"))
    assert (early.headline, early.tone, early.verdict) == ("Still running", "open", None)
    assert verdict.collect(samples.classification(verdict=None)).headline == "No verdict"


def test_facts_of_comparison() -> None:
    facts = comparison.collect(samples.regression())
    assert facts is not None
    order = ["probe: minilm", "simple: tf-idf", "mean", "from scratch: minilm"]
    assert [entry.name for entry in facts.entries] == order
    assert (facts.against, facts.reference) == ("simple: tf-idf", 0.405)
    scale = comparison.axis_of(facts.metric, [e.score for e in facts.entries])
    assert -1 <= scale.low <= -0.5 and scale.high < 1  # R² of -6.31 does not squeeze the others
    assert comparison.collect(samples.classification(results=[])) is None


def test_an_error_metric_is_ranked_lowest_first() -> None:
    record = samples.regression().model_copy(update={"primary_metric": "mae"})
    rows = best_first(record, "mae")
    values = [row.metrics["mae"].value for row in rows]
    assert values == sorted(values) and metric_names(record)[0] == "mae"


def test_facts_of_metrics() -> None:
    record = samples.classification()
    facts = metrics.collect(record)
    assert facts is not None and facts.opened
    assert facts.metrics[0] == "accuracy" and len(facts.metrics) == 8
    best = metrics.best_values(facts)
    every = [r.metrics for r in record.results]
    assert best["accuracy"] == max(m["accuracy"].value for m in every)
    assert best["log_loss"] == min(m["log_loss"].value for m in every)
    early = metrics.collect(samples.unfinished())
    assert early is not None and not early.opened and early.metrics == ("accuracy",)


def test_facts_of_classes() -> None:
    facts = classes.collect(samples.classification())
    assert facts is not None and facts.result == CHOSEN
    assert facts.columns == ("precision", "recall", "f1", "support")
    values = [scores["f1"] for _, scores in facts.rows]
    assert values == sorted(values) and facts.total == 10
    assert classes.collect(samples.regression()) is None
    many = classes.collect(samples.many_classes(300))
    assert many is not None and (len(many.rows), many.total) == (100, 300)


def test_facts_of_confusion() -> None:
    table = [[5, 0, 1], [3, 4, 0], [0, 0, 9]]
    record = samples.classification(["a", "b", "c"], confusion={CHOSEN: table})
    facts = confusion.collect(record)
    assert facts is not None
    assert facts.mistakes == (
        confusion.Mistake("b", "a", 3, 7),
        confusion.Mistake("a", "c", 1, 6),
    )
    drawing = str(confusion.drawn(facts))
    assert drawing.count('class="right"') == 3 and drawing.count('class="wrong"') == 2
    for broken in (
        None,
        {},
        {"another": table},
        {CHOSEN: table[:2]},
        {CHOSEN: [[1]] * 3},
        {CHOSEN: [[[1, 0]] * 3] * 3},
    ):
        changed = samples.classification(["a", "b", "c"], confusion=broken)
        assert confusion.collect(changed) is None
    assert confusion.short("a kind of thing with a long name 13").endswith("name 13")


def test_facts_of_curve() -> None:
    facts = curve.collect(samples.classification())
    assert facts is not None
    assert [c.name for c in facts.curves] == [CHOSEN, "from scratch: mobilenet_v2_100_224"]
    assert len(facts.curves[0].panels["loss"]) == 21
    assert curve.collect(samples.regression()) is None
    entries = [{"step": i, "loss": math.nan if i == 3 else 1.0 / (i + 1)} for i in range(5)]
    assert curve.points_of([*entries, "junk", {"step": 9}], "loss") == (
        (0, 1), (1, 0.5), (2, 1 / 3), (4, 0.2),
    )  # fmt: skip
    long = curve.points_of([{"step": i, "loss": 1.0} for i in range(10_000)], "loss")
    assert len(long) <= curve.POINTS + 1 and long[-1][0] == 9999


def test_facts_of_examples() -> None:
    record = samples.classification()
    assert examples.collect(record) is None
    assert examples.fragment("<b>") is None and examples.fragment(b"GIF89a") is None
    assert "image/jpeg" in str(examples.fragment(b"\xff\xd8\xff"))


def test_facts_of_data() -> None:
    facts = data.collect(samples.classification())
    assert facts.counts == (("train", 3068), ("validation", 341), ("test", 372))
    assert facts.splits == ("train", "test") and facts.classes == 10
    assert facts.by_class[0] == ("dress", (260, 43))
    assert (facts.quarantined, facts.unlabelled) == (3, 12)
    shown = str(data.render(facts))
    assert "3 examples could not be read" in shown and "quarantine.csv" in shown
    assert "12 examples had no label" in shown and "README.md" in shown
    assert data.collect(samples.regression()).classes == 0


def test_facts_of_made() -> None:
    facts = made.collect(samples.classification())
    assert facts is not None and facts.timed == ("fit", "predict", "extract")
    assert made.settings(facts.results[0]) == (("steps", "600"), ("phases", "head, last stages"))
    assert made.collect(samples.classification(results=[])) is None


def test_facts_of_run() -> None:
    pairs = dict(run.collect(samples.classification(machine={"a_b": {"c": [1, True, None]}})).pairs)
    assert pairs["Started"] == "2026-11-21 09:15:42Z" and pairs["Seed"] == "0"
    assert pairs["Took"].replace("\u00a0", " ") == "5 min 54 s"
    assert pairs["A b"] == "c 1, yes, –"
    assert "recipe.toml" in run.render(run.collect(samples.classification()))


def test_facts_of_advice() -> None:
    assert advice.collect(samples.classification()) is None
    facts = advice.collect(samples.classification(advice=samples.advice()))
    assert facts is not None
    plain = [tuple(cell.replace("\u00a0", " ") for cell in row[:3]) for row in facts.costs]
    assert plain == [
        ("Full fine-tuning", "2 min 0 s", "2 min 28 s"),
        ("test part", "3.0 s", ""),
        ("time in all", "2 min 3 s", "5 min 54 s"),
        ("memory at most", "3.8 GB", ""),
        ("disk at most", "20 MB", "17 MB"),
        ("CO2", "0.5 g of CO2", "1.4 kg of CO2"),
    ]
    page = advice.render(facts)
    assert page.count('class="taken"') == 3 and page.count("<li") - page.count("<li>") == 3


def test_the_terminal_says_what_was_expected_and_what_happened() -> None:
    text = spoken(samples.classification(advice=samples.advice()), 200)
    assert "Advice: Full fine-tuning. Expected 2 min 3 s, 3.8 GB of memory" in text
    assert "took 5 min 54 s, 17 MB on disk, 1.4 kg of CO2." in text


def test_advice_in_the_terminal_marks_the_path_without_colours() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, color_system=None)
    for part in advised.shown(samples.advice("Tune [red]it[/red]")):
        console.print(part, markup=False)
    lines = out.getvalue().splitlines()
    marked = [line for line in lines if advised.MARK in line]
    assert len(marked) == 3 and all("[red]it[/red]" in line for line in (marked[0], marked[2]))
    assert not any("Frozen" in line for line in marked)


def test_facts_of_notes() -> None:
    assert notes.collect(samples.multi_label()) is None
    facts = notes.collect(samples.classification())
    assert facts is not None and len(facts.notes) == 1


def test_the_words_agree_with_the_judge_about_every_metric() -> None:
    for kind in TASKS:
        for name in kind.metrics:
            judged = metric_of(name)
            assert words.lower_is_better(name) != judged.larger_is_better, name
            assert words.is_share(name) == (judged.scale in ("share", "quotient")), name


@pytest.mark.parametrize(
    ("metric", "interval", "text"),
    [
        ("accuracy", (0.94117, 0.9281, 0.9533), "94.1 % (92.8 to 95.3)"),
        ("accuracy", (1.0, 0.98, 1.0), "100 % (98.0 to 100)"),
        ("accuracy", (0.0412, None, None), "4.1 %"),
        ("roc_auc", (0.98765, 0.97, 0.995), "0.988 (0.970 to 0.995)"),
        ("mae", (12345.6, 12000.1, 12700.0), "12,300 (12,000 to 12,700)"),
        ("r2", (-0.002, -0.063, 0.056), "−0.002 (−0.063 to 0.056)"),
        ("log_loss", (math.nan, None, None), "–"),
        ("mae", (3.2e9, 3.1e9, 3.3e9), "3.2e+09 (3.1e+09 to 3.3e+09)"),
        ("mae", (0.0, 0.0, 0.0), "0.00 (0.00 to 0.00)"),
    ],
)
def test_values_and_intervals_in_words(metric: str, interval: Any, text: str) -> None:
    value, low, high = interval
    written = words.interval_text(metric, Interval(value=value, low=low, high=high))
    assert written.replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("metric", "interval", "texts"),
    [
        ("accuracy", (0.1022, 0.051, 0.1534), ("+10.2 points", "5.1 to 15.3")),
        ("accuracy", (-0.0042, -0.02, 0.0116), ("−0.42 points", "−2.00 to 1.16")),
        ("accuracy", (0.0, 0.0, 0.0), ("0.00 points", "0.00 to 0.00")),
        ("r2", (0.007, -0.018, 0.033), ("+0.007", "−0.018 to 0.033")),
        ("mae", (12.34, None, None), ("+12.3", "")),
    ],
)
def test_differences_in_words(metric: str, interval: Any, texts: tuple[str, str]) -> None:
    value, low, high = interval
    size, between = words.difference_text(metric, Interval(value=value, low=low, high=high))
    assert (size.replace("\u00a0", " "), between) == texts


@pytest.mark.parametrize(
    "values", [[0.1, 0.93], [0.0], [5.0, 5.0], [-3e-7, 2e-7], [1e6, 3e6], [math.nan], [], [1, -40]]
)
def test_an_axis_holds_its_values_between_round_ticks(values: list[float]) -> None:
    scale = draw.axis(values)
    finite = [v for v in values if math.isfinite(v)]
    assert scale.low < scale.high and 2 <= len(scale.ticks) <= 8
    assert all(scale.low - 1e-12 <= v <= scale.high + 1e-12 for v in finite)
    steps = {f"{b - a:.3e}" for a, b in zip(scale.ticks, scale.ticks[1:], strict=False)}
    assert len(steps) == 1 and steps.pop()[0] in "125"
    assert scale.at(scale.low) == draw.EDGE and scale.at(scale.high) == 100 - draw.EDGE


def test_marks_off_the_scale_become_arrows() -> None:
    scale = draw.Axis(0.0, 1.0, (0.0, 1.0))
    inside = "".join(draw.interval_mark(scale, Interval(value=0.5, low=0.4, high=0.6), 0, "x"))
    assert 'cx="50.0%"' in inside and inside.count("<line") == 3
    outside = "".join(draw.interval_mark(scale, Interval(value=-6, low=-7, high=-5), 0, "x"))
    assert "circle" not in outside and "line" not in outside and "◂" in outside


def test_a_ragged_row_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns"):
        render_table("t", [Column("a"), Column("b")], [Row((Cell("x"),))])


def test_the_terminal_says_the_verdict_first_and_the_results_best_first() -> None:
    text = spoken(samples.classification())
    assert text.startswith("Transfer helps  Accuracy +32.3 points (95 % interval 26.9 to 37.6)")
    names = ["* finetune:", "probe: mob", "from scratch: mob", "simple: colour", "majority"]
    places = [text.index(name) for name in names]
    assert places == sorted(places)
    assert "88.2 % (84.9 to 91.5)" in text and "quarantine.csv" in text
    assert "test part was not opened" in " ".join(spoken(samples.unfinished()).split())


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_the_terminal_keeps_the_primary_value_whole_at_any_width(width: int) -> None:
    lines = spoken(samples.classification(), width).splitlines()
    assert all(len(line) <= width for line in lines)
    if width >= 80:
        assert "88.2 % (84.9 to 91.5)" in "\n".join(lines)


def test_the_terminal_reads_no_markup_in_data() -> None:
    record = samples.classification(notes=["[bold]x[/bold] [/nothing]"])
    results = [r.model_copy(update={"name": "[red]r[/red]"}) for r in record.results]
    text = spoken(record.model_copy(update={"results": results, "chosen": "[red]r[/red]"}))
    assert "[bold]x[/bold] [/nothing]" in text and "[red]r[/red]" in text


def front(text: str) -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert match
    found: dict[str, Any] = yaml.safe_load(match[1])
    return found


def test_the_model_card_has_metadata_that_reads_back() -> None:
    record = samples.classification()
    text = card.model_card(record)
    assert front(text) == card.metadata(record)
    assert front(text)["pipeline_tag"] == "image-classification"
    assert front(text)["license"] == "unknown" and "base_model" not in front(text)
    values = front(text)["model-index"][0]["results"][0]["metrics"]
    assert values[0] == {"type": "accuracy", "name": "Accuracy", "value": 0.8817}
    for part in ("Did transfer help?", "Intended use", "Limits", "372 test examples", "Transfer"):
        assert part in text
    other = front(card.model_card(samples.regression()))
    assert other["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "pipeline_tag" not in other


def test_a_known_licence_and_odd_names_stand_in_the_card() -> None:
    evil = 'a | b\n---\n# <script> "x": [y](z)'
    record = samples.classification(licence="apache-2.0")
    record = record.model_copy(update={"data": record.data.model_copy(update={"name": evil})})
    text = card.model_card(record)
    assert front(text)["license"] == "apache-2.0"
    assert front(text)["model-index"][0]["results"][0]["dataset"]["name"] == evil
    body = text.split("\n---\n", 1)[1]
    assert "<script>" not in body.replace("\\<script", "") and "\n# <" not in body


def test_the_model_card_of_an_unfinished_run_promises_nothing() -> None:
    text = card.model_card(samples.unfinished())
    assert "model-index" not in text and "was not opened" in text


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("hf:org/name", "org/name"),
        ("org/name", "org/name"),
        ("local:../models/x", None),
        ("../shared/models", None),
        ("starter:glyphs", None),
        (None, None),
    ],
)
def test_only_models_of_the_hub_are_named_as_base(model: str | None, found: str | None) -> None:
    assert card.hub_id(model) == found


def test_what_the_test_part_says_of_the_choice_is_told_beside_it() -> None:
    record = samples.multi_label().model_copy(update={"chosen_because": "it leads."})
    assert record.verdict is not None and record.verdict.answer == "hurts"
    assert handed_over(record) == "It leads."  # the simple model, and the test part agrees
    other = record.model_copy(update={"chosen": record.verdict.candidate})
    assert "says the contrary" in handed_over(other)
    better = record.verdict.model_copy(update={"answer": "helps"})
    told = handed_over(record.model_copy(update={"verdict": better}))
    assert "'probe: yamnet' is clearly better" in told and "--prefer best" in told
