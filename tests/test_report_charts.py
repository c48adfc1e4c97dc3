"""What drawings say without a script: values, tables, labels; and what the script rests on."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

import records_for_tests as samples
from evidence_for_tests import evidence
from headstart.records import Interval, RunRecord
from headstart.report import draw, page, plot
from headstart.report.table import (
    Cell,
    Column,
    Row,
    as_table,
    difference_cells,
    measured_cells,
    render_table,
)

RECORDS = {
    "classification": samples.classification,
    "evidence": evidence,
    "regression": lambda: evidence("regression"),
    "multi-label": lambda: evidence("multi-label"),
}


@pytest.fixture(scope="module", params=RECORDS)
def made(request: pytest.FixtureRequest) -> str:
    record: RunRecord = RECORDS[request.param]()
    return page.render(record)


class Cells(HTMLParser):
    """Gathers (heading, text, data-value) of every cell under a heading that sorts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.heads: list[tuple[str, bool]] = []
        self.row: list[list[str | None]] = []
        self.found: list[tuple[str, bool, str, str | None]] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "thead":
            self.heads = []
        if tag in ("tr", "tbody"):
            self.row = []
        if tag == "th" and given.get("scope") == "col":
            self.heads.append((str(given.get("data-first")), "num" in str(given.get("class"))))
            self.inside = ""
        elif tag in ("th", "td"):
            self.row.append(["", given.get("data-value")])
            self.inside = "cell"
        elif tag in ("small", "span"):
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "cell":
            self.row[-1][0] = str(self.row[-1][0]) + data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td"):
            self.inside = ""
        if tag == "tr" and self.row:
            for (first, numeric), (text, value) in zip(self.heads, self.row, strict=True):
                if first != "None":
                    self.found.append((first, numeric, str(text).strip(), value))


def test_every_cell_says_what_it_sorts_by(made: str) -> None:
    cells = Cells(made).found
    assert len(cells) > 50
    for first, numeric, text, value in cells:
        assert first in ("ascending", "descending")
        assert (value is None) == (text == "–"), (text, value)
        if numeric and value is not None:
            float(value)


def test_every_drawing_is_named_and_has_its_values_as_a_table(made: str) -> None:
    figures = re.findall(r"<figure class=\"(?:panel|size).*?</figure>", made, re.S)
    lists = re.findall(r"<ol class=\"chart\">.*?</section>", made, re.S)
    assert len(figures) >= 4 and lists
    for part in (*figures, *lists):
        named = "<figcaption>" in part or "<figcaption" in part or part.startswith("<ol")
        assert named and ('<details class="values' in part or "table below" in part
                          or "table beside" in part), part[:200]  # fmt: skip
    for plane in re.findall(r'<svg[^>]*class="plot"[^>]*>', made):
        assert 'role="img"' in plane and re.search(r'aria-label="[^"]+"', plane)
    captions = re.findall(r"<caption>(.*?)</caption>", made)
    assert len(set(captions)) == len(captions)  # as many regions: each is told apart by its name


def test_points_say_their_values_without_a_script(made: str) -> None:
    dots = re.findall(r'<path[^>]*class="dot [^>]*>(<title>[^<]+</title>)?', made)
    assert dots and all(dots)
    assert "<button" not in made  # what a script alone can do is put there by the script


def test_the_script_is_small_and_needs_nothing() -> None:
    script = page.packaged("page.js")
    assert len(script.encode()) < 10_000
    assert not re.search(r"\bimport\b|fetch\(|XMLHttp|innerHTML|eval\(|https?:", script)
    assert "prefers-reduced-motion" in page.packaged("page.css")


def test_a_legend_names_series_that_are_drawn(made: str) -> None:
    for section in re.findall(r"<section.*?</section>", made, re.S):
        entries = re.findall(r'<li data-series="([^"]+)"><svg', section)
        drawn = set(re.findall(r'<(?:g|li) data-series="([^"]+)"', section))
        for entry in entries:
            assert section.count(f'data-series="{entry}"') >= 2
        assert not entries or drawn == set(entries)


def test_intervals_sort_by_their_middle() -> None:
    skewed = Interval(value=0.9, low=0.5, high=0.92)
    value, between = measured_cells("accuracy", skewed)
    assert (value.value, between.value) == (0.9, pytest.approx(0.71))
    assert between.text == "50.0 to 92.0"
    size, between = difference_cells("mae", Interval(value=-2.0, low=-3.0, high=1.0))
    assert size.text.startswith("−2") and between.value == -1.0
    assert measured_cells("accuracy", Interval(value=0.9))[1] == Cell("–")


def test_a_value_that_is_none_is_not_sorted_by() -> None:
    cells = [Cell("x", value=v) for v in (None, float("nan"), float("inf"), 0.0, "a")]
    shown = render_table("t", [Column("a")], [Row((cell,)) for cell in cells])
    assert re.findall(r'data-value="([^"]+)"', shown) == ["0.0", "a"]


def test_only_short_tables_are_opened_on_paper() -> None:
    rows = [Row((Cell(str(i), value=i),)) for i in range(31)]
    assert 'class="values short"' in as_table("<t>", [Column("a")], rows[:30])
    shown = as_table("<t>", [Column("a")], rows)
    assert 'class="values"' in shown and "<t>" not in shown


def test_lines_stop_where_they_can_be_pointed_at() -> None:
    assert plot.thinned([], 3) == []
    assert plot.thinned(range(10), 20) == list(range(10))
    assert plot.thinned(range(10), 3) == [0, 3, 6, 9]
    assert plot.thinned(range(11), 3) == [0, 3, 6, 9, 10]
    scale, texts = plot.share_axis([0.0, 1.0])
    plane = plot.Plane(scale, scale, texts, texts)
    points = [(i / 999, 0.5) for i in range(1000)]
    stops = plot.stops(plane, points, "d0", [f"at {i}" for i in range(1000)])
    assert 40 <= len(stops) <= 42
    assert "at 0<" in stops[0] and "at 999<" in stops[-1]


def test_an_interval_is_one_mark_that_says_its_value() -> None:
    scale = draw.axis([0.0, 1.0])
    found = Interval(value=0.5, low=0.4, high=0.6)
    (mark,) = draw.interval_mark(scale, found, 0, "x", "a <b>: 50 %")
    assert mark.startswith("<g><title>a &lt;b&gt;: 50 %</title>") and mark.count("<circle") == 1
    assert len(draw.interval_mark(scale, found, 0, "x")) == 4
