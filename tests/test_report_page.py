"""The page: whole, self-contained, escaped, and there for every kind of record."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import records_for_tests as samples
from evidence_for_tests import evidence
from headstart.errors import RunError
from headstart.evaluate.evidence import MOST_CURVES
from headstart.evaluate.precision_recall import POINTS as MOST_POINTS
from headstart.evaluate.tables import HARDEST, MOST_GROUPS
from headstart.records import HardExample, RunRecord
from headstart.report import page
from headstart.report.sections import SECTIONS

SNAPSHOT = Path(__file__).parent / "data" / "report_snapshot.html"
EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)> & "quotes" \'too\''
RECORDS = {
    "classification": samples.classification,
    "regression": samples.regression,
    "multi-label": samples.multi_label,
    "40 classes": samples.many_classes,
    "running": lambda: samples.unfinished("running"),
    "interrupted": samples.unfinished,
    "nothing yet": lambda: samples.unfinished("running").model_copy(update={"results": []}),
    "no verdict": lambda: samples.classification(verdict=None),
    "choice lost": lambda: samples.classification(chosen="nobody"),
    "advised": lambda: samples.classification(advice=samples.advice()),
}
VOID = {"meta", "img", "br", "link", "hr", "input", "wbr"}


class Tree(HTMLParser):
    """Checks that tags close in order; gathers tags, attributes and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def test_the_page_is_what_was_looked_at() -> None:
    """After a wanted change: HEADSTART_UPDATE_SNAPSHOTS=1 pytest, then look at the file."""
    made = page.render(samples.classification())
    if os.environ.get("HEADSTART_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(made, encoding="utf-8")
    assert made == SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RECORDS)
def test_every_kind_of_record_makes_a_sound_page(name: str) -> None:
    record: RunRecord = RECORDS[name]()
    made = page.render(record)
    tree = Tree(made)
    assert len(made.encode()) < 1_000_000
    assert not {"None", "nan", "undefined"} & set(tree.text.split())
    ids = [attrs["id"] for _, attrs in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in tree.tags:
        if tag == "a":
            assert str(attrs["href"]).removeprefix("#") in ids
        if tag == "th":
            assert attrs["scope"] in ("col", "row")
        if tag == "section":
            assert attrs["aria-labelledby"] in ids


def test_nothing_is_fetched_from_elsewhere() -> None:
    made = page.render(samples.classification(), pictures={"a": b"\x89PNG not really"})
    for tag, attrs in Tree(made).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "action", "poster", "srcset"):
            assert str(attrs.get(name, "#")).startswith(("#", "data:")), (tag, attrs)
    assert not re.search(r"url\(|@import|https?://", made)
    assert "default-src 'none'" in made


def test_the_verdict_stands_first_with_size_and_interval() -> None:
    text = Tree(page.render(samples.classification())).text
    order = ["Verdict", "Transfer helps", "+32.3 points", "95 % interval 26.9 to 37.6", "How much"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "The interval excludes zero." in text
    same = Tree(page.render(samples.regression())).text
    assert "No clear difference" in same and "The interval includes zero." in same


def test_every_test_value_stands_with_its_interval() -> None:
    record = samples.classification()
    text = Tree(page.render(record)).text
    for value in ("88.2", "86.6", "55.9", "49.5", "18.0"):  # independent of the code: typed in
        assert re.search(rf"{value} % \d\d\.\d to \d\d\.\d", text), value


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_an_unfinished_run_says_so_first(status: str) -> None:
    tree = Tree(page.render(samples.unfinished(status)))
    head = tree.text[: tree.text.index("How much better")]
    assert "test part was not opened" in head
    assert "validation data" in tree.text and "sealed test part, which was" not in tree.text
    late = samples.classification(status=status)
    assert "The test part had been opened" in Tree(page.render(late)).text


def test_texts_from_data_are_escaped() -> None:
    labels = [EVIL, *samples.CLOTHES[1:]]
    record = samples.classification(labels, notes=[EVIL], task=EVIL, headstart=EVIL)
    results = [r.model_copy(update={"name": f"{EVIL} {r.name}"}) for r in record.results]
    results[0] = results[0].model_copy(
        update={"details": {**results[0].details, EVIL: EVIL}, "model": EVIL, "method": EVIL}
    )
    data = record.data.model_copy(
        update={"name": EVIL, "source": EVIL, "said": [EVIL], "modality": EVIL, "fingerprint": EVIL}
    )
    assert record.verdict is not None
    judged = record.verdict.model_copy(
        update={"words": EVIL, "candidate": EVIL, "against": results[2].name}
    )
    record = record.model_copy(
        update={
            "results": results,
            "data": data,
            "verdict": judged,
            "chosen": results[0].name,
            "machine": {EVIL: EVIL},
            "advice": samples.advice(EVIL),
            "confusion": {results[0].name: record.model_extra["confusion"][record.chosen]},
        }
    )
    made = page.render(record, pictures={EVIL: b"\xff\xd8\xff"})
    tree = Tree(made)
    assert [tag for tag, _ in tree.tags].count("script") == 1
    assert all(attrs.get("alt") == "" for tag, attrs in tree.tags if tag == "img")
    assert not [name for _, attrs in tree.tags for name in attrs if name.startswith("on")]
    assert tree.text.count('<script>alert("x")</script>') > 20
    sections = {attrs["id"] for tag, attrs in tree.tags if tag == "section"}
    here = sections | set(re.findall(r'<section id="([\w-]+)"', page.render(measured_evil())))
    assert here | {"residuals"} == {section.name for section in SECTIONS}


def measured_evil(kind: str = "classification") -> RunRecord:
    """Evidence in which names, groups, ids and sentences try to be HTML."""
    text = evidence(kind).to_json()
    for word in ("probe: m", "site ", "row 7", "saves labels", "Loss rose", "Stop earlier",
                 "clearly better than every", "temperature"):  # fmt: skip
        text = text.replace(word, word + json.dumps(EVIL)[1:-1])
    return RunRecord.model_validate_json(text)


@pytest.mark.parametrize("kind", ["classification", "multi-label", "regression"])
def test_evidence_is_escaped(kind: str) -> None:
    tree = Tree(page.render(measured_evil(kind)))
    assert [tag for tag, _ in tree.tags].count("script") == 1
    assert [tag for tag, _ in tree.tags].count("img") == 0
    assert not [name for _, attrs in tree.tags for name in attrs if name.startswith("on")]
    assert tree.text.count('<script>alert("x")</script>') > 20


def test_a_record_from_disk_cannot_bring_html() -> None:
    record = samples.classification(pictures={"a": "<b>bold</b>", "b": b"\x89PNG"})
    assert 'id="examples"' not in page.render(record)
    assert "<em>seen</em>" in page.render(record, pictures={"a": "<em>seen</em>"})


def test_pictures_stop_before_the_page_grows_too_large() -> None:
    big = b"\x89PNG" + bytes(150_000)
    made = page.render(samples.classification(), pictures={f"p{i}": big for i in range(9)})
    assert 1_000_000 < len(made.encode()) < 2_000_000
    assert "2 examples had no room" in Tree(made).text


def test_the_largest_page_stays_below_6_mb() -> None:
    """Every section as large as a run can make it, with more to show than there is room for."""
    rng = np.random.default_rng(0)
    labels = [f"{'a very long name ' * 20}{i}" for i in range(60)]
    record = evidence(groups=True).model_copy(update={"labels": labels})
    best = record.result("probe: m")
    curve, group = next(iter(best.pr_curves.values())), best.groups[0]
    curve = curve.model_copy(update={name: list(rng.random(MOST_POINTS)) for name in
                                     ("recall", "precision", "threshold")})  # fmt: skip
    scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 9.0}
    hard = [HardExample(id=f"hard {i}", loss=1.0, truth=labels[0]) for i in range(HARDEST)]
    best = best.model_copy(
        update={
            "groups": [group.model_copy(update={"group": name}) for name in labels[:MOST_GROUPS]],
            "pr_curves": dict.fromkeys(labels[:MOST_CURVES], curve),
            "per_class": dict.fromkeys(labels, scores),
            "hardest": hard,
        }
    )
    twins = [best.model_copy(update={"name": f"probe: model {i}"}) for i in range(100)]
    record = record.model_copy(
        update={
            "results": [*record.results[:3], best, *twins],
            "confusion": {"probe: m": rng.integers(1, 99, (60, 60)).tolist()},
            "checks": record.checks * 20,
        }
    )
    sound = '<audio controls src="data:audio/ogg;base64,{}"></audio>'.format("A" * 250_000)
    pictures: dict[str, Any] = {example.id: sound for example in hard}
    pictures |= {f"picture {i}": b"\xff\xd8\xff" + bytes(40_000) for i in range(500)}
    made = page.render(record, pictures=pictures)
    assert 3_000_000 < len(made.encode()) < 6_000_000
    assert made.count("<audio") == 5 and "What shows 7 of them had no room" in made
    assert "examples had no room on this page" in made
    sections = set(re.findall(r'<section id="([\w-]+)"', made))
    assert {"confusion", "groups", "recall", "hardest", "examples", "cost"} <= sections


def test_a_thousand_classes_stay_small() -> None:
    made = page.render(samples.many_classes(1000, EVIL))
    assert len(made.encode()) < 1_000_000
    assert "the 100 weakest of 1000 classes" in Tree(made).text


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    page.write_report(samples.classification(), path)
    assert path.read_text(encoding="utf-8") == page.render(samples.classification())
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RunError, match="cannot be written"):
        page.write_report(samples.classification(), tmp_path / "absent" / "report.html")


def test_rebuilding_a_report_loads_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from headstart.records import read_record;"
        "from headstart.report import card, page, terminal;"
        f"record = read_record(Path({str(SNAPSHOT.parent / 'record_schema_1.json')!r}));"
        "page.render(record); card.model_card(record); terminal.summary(record);"
        "heavy = {'torch', 'transformers', 'sklearn', 'pandas', 'PIL', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
