"""The sheet of `headstart augment --show`: self-contained, escaped, and true."""

from __future__ import annotations

import base64
import csv
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from headstart.cli import main
from headstart.data.augment import parse
from headstart.errors import DataError, HeadstartError, UsageError
from headstart.report.sheet import text_row
from headstart.run.sheet import listed, make_sheet, open_examples, write_sheet
from headstart.testing.modality import HOSTILE
from runs_for_tests import write_photos

TEXTS = ["The film is good & <b>very</b> bright.", "A dull plot.", HOSTILE, "It was not bad at all"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 4)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        rows = [[text, "ab"[k % 2]] for k, text in enumerate(TEXTS * 3)]
        csv.writer(file).writerows([["text", "label"], *rows])
    return path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for kind, hertz in (("low", 200), ("high", 2000)):
        (tmp_path / "clips" / kind).mkdir(parents=True)
        for k in range(3):
            wave = 0.4 * np.sin(2 * np.pi * hertz * np.arange(8000 + 500 * k) / 16000)
            soundfile.write(tmp_path / "clips" / kind / f"{k}.wav", wave, 16000)
    return tmp_path / "clips"


class Page(HTMLParser):
    """Complains of scripts, handlers and links that lead outside; counts elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.complaints: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.complaints += [tag] if tag in ("script", "b", "link", "iframe") else []
        for name, value in attrs:
            outside = name in ("src", "href") and not (value or "").startswith("data:")
            self.complaints += [f"{tag} {name}"] if name.startswith("on") or outside else []


def page_of(data: Path, spec: str, out: Path, **options: int) -> str:
    write_sheet(open_examples(str(data), spec), out, **options)
    return out.read_text("utf-8")


def test_pictures(photos: Path, tmp_path: Path) -> None:
    text = page_of(photos, "auto,erase", tmp_path / "sheet.html", count=3, views=4, seed=5)
    page = Page(text)
    assert page.complaints == []
    assert page.counts["img"] == 15 and text.count(">Original<") == 3
    assert "crop:0.35,flip:0.5,trivial:30,erase" in text and "<code>chance</code>" in text
    sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert all(Image.open(io.BytesIO(base64.b64decode(code))).size for code in sources)
    assert text == page_of(photos, "auto,erase", tmp_path / "2.html", count=3, views=4, seed=5)
    assert text != page_of(photos, "auto,erase", tmp_path / "2.html", count=3, views=4, seed=6)


def test_texts_are_escaped_and_differences_marked(reviews: Path, tmp_path: Path) -> None:
    text = page_of(reviews, "delete:0.5,swap", tmp_path / "sheet.html", count=12)
    page = Page(text)
    assert page.complaints == []
    assert page.counts["del"] > 10 and page.counts["ins"] > 5
    assert "&lt;b&gt;" in text and "<script" not in text


def test_struck_out_and_inserted_give_both_texts_back() -> None:
    before = TEXTS[0]
    for seed in range(20):
        after = parse("delete:0.3,swap:0.3", "text").example(
            before, rng=np.random.default_rng(seed)
        )
        (view,) = text_row("row", before, [after]).views
        old = re.sub("<ins>.*?</ins>", "", view, flags=re.DOTALL)
        new = re.sub("<del>.*?</del>", "", view, flags=re.DOTALL)
        if before != after:
            assert [view.__class__(side).striptags() for side in (old, new)] == [
                " ".join(text.split()) for text in (before, after)
            ]
        else:
            assert "not changed" in view


def test_sounds(clips: Path, tmp_path: Path) -> None:
    text = page_of(clips, "auto", tmp_path / "sheet.html", count=2, views=3)
    page = Page(text)
    assert page.complaints == []
    assert page.counts["audio"] == page.counts["img"] == 8
    assert "SpecAugment" in text
    assert "SpecAugment" not in page_of(clips, "gain", tmp_path / "2.html", count=1)


def test_specaugment_is_on_the_sheet(clips: Path) -> None:
    sheet = make_sheet(open_examples(str(clips), "specaugment:0.3:0.3"), count=1, views=4)
    assert len({*sheet.rows[0].views, sheet.rows[0].original}) > 3


@pytest.mark.parametrize("kind", ["photos", "clips"])
def test_png(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind)
    for seed in (0, 0, 1):
        write_sheet(open_examples(str(data)), tmp_path / f"{seed}.png", count=2, views=3, seed=seed)
    with Image.open(tmp_path / "0.png") as picture:
        assert picture.width > 4 * 160 and np.ptp(np.asarray(picture)) > 100
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_broken_examples_are_passed_over(photos: Path) -> None:
    paths = sorted(photos.rglob("*.jpg"))
    for path in paths[1:]:
        path.write_bytes(b"no picture")
    sheet = make_sheet(open_examples(str(photos)), count=5, views=1)
    assert [row.id for row in sheet.rows] == [str(paths[0].relative_to(photos))]
    paths[0].write_bytes(b"")
    with pytest.raises(DataError, match=r"zero bytes|not an image"):
        make_sheet(open_examples(str(photos)), count=5, views=1)


def test_the_training_part_is_shown(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_photos(tmp_path / "data" / part, 3)
    examples = open_examples(str(tmp_path / "data"))
    assert len(examples.ids) > 0 and all(id.startswith("train/") for id in examples.ids)


def test_every_augmentation_is_listed() -> None:
    assert [spec.split(":")[0] for spec, _ in listed("audio")] == [
        "gain", "noise", "pitch", "shift", "specaugment", "stretch",
    ]  # fmt: skip
    for modality in ("image", "text", "audio"):
        assert all(words.endswith((".", ";")) or words for _, words in listed(modality))


def test_the_command(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", "augment", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), *capsys.readouterr()

    out = tmp_path / "sheet.html"
    code, said, _ = call(
        photos, "--show", "--augment", "flip,rotate:15", "--count", 2, "--out", out
    )
    assert (code, said) == (0, f"{out}\n") and out.is_file()
    code, said, _ = call(photos)
    assert code == 0 and "crop:0.35,flip:0.5,trivial:30" in said and "  vflip:chance=0.5\n" in said
    for arguments, words in (
        (("--augment", "swap"), "is for text"),
        (("--augment", "rotate:500"), "from 0 to 180"),
        (("--show", "--out", "sheet.gif"), ".html or .png"),
        (("--show", "--out", tmp_path / "no" / "sheet.html"), "cannot be written"),
        (("--modality", "smell"), "smell"),
    ):
        code, said, error = call(photos, *arguments)
        assert code == 2 and said == "" and words in error and len(error.splitlines()) == 1, error
    assert call(tmp_path / "nothing")[0] == 2


def test_texts_have_no_png(reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.html only"):
        write_sheet(open_examples(str(reviews)), tmp_path / "sheet.png")
    with pytest.raises(HeadstartError, match="no/such"):
        open_examples(str(reviews), "masked:no/such")
