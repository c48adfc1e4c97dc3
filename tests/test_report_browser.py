"""The pages in a real browser: Chromium, driven by playwright-core, with axe-core inside.

One start looks at all pages (tests/browser/look.mjs). To keep screenshots and PDFs for people:
HEADSTART_LOOKS=folder pytest tests/test_report_browser.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

import records_for_tests as samples
from contest_for_tests import three_runs
from evidence_for_tests import evidence
from headstart.data.modality import modality
from headstart.records import HardExample
from headstart.report.contest import page as contest
from headstart.report.page import render
from headstart.report.safe import cleaned
from headstart.run.comparing import compare_runs
from runs_for_tests import COLOURS, photo, tones

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent / "browser"
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def pictures() -> str:
    """A classification of pictures, with a confusion matrix, curves and advice."""
    rng, show = np.random.default_rng(0), modality("image").show
    shown = {f"{name}.jpg": str(cleaned(show(photo(rng, c)))) for name, c in COLOURS.items()}
    return render(samples.classification(advice=samples.advice()), pictures=shown)


def sounds() -> str:
    """All evidence there is, the hardest examples with a spectrogram and a player."""
    clips, _ = tones(2)
    show = modality("audio").show
    shown = {f"row {7 + at}": str(cleaned(show(clip))) for at, clip in enumerate(clips)}
    return render(evidence(), pictures=shown)


def texts() -> str:
    """A regression of texts."""
    record = evidence("regression")
    hard = [HardExample(id="row 7", loss=2.5), HardExample(id="row 8", loss=1.5)]
    best = record.results[3].model_copy(update={"hardest": hard})
    record = record.model_copy(update={"results": [*record.results[:3], best]})
    words = modality("text").show("Un film <b>lent</b> & beau. " * 20)
    return render(record, pictures={"row 7": words})


# Each flaw is one that the looks must find; a look that finds nothing proves nothing.
FLAWED = """<!doctype html><html lang="en"><head><title>flawed</title><style>
.tip { position: fixed; } .wide { width: 900px; height: 9px; }</style></head><body><main>
<h1>Flawed</h1><p style="color:#ccc;background:#fff">too faint</p>
<img src="https://example.invalid/a.png" alt="">
<div class="wide"></div>
<section id="s"><figure><svg class="plot" width="0" height="0" role="img">
<circle r="3" role="img" aria-label="mark"/></svg></figure></section>
<section><ul class="legend"><li data-series="a"><button type="button">a</button></li></ul></section>
<table><caption>t</caption><thead><tr><th class="num" data-first="ascending"><button>n</button></th>
</tr></thead><tbody><tr><td>2</td></tr><tr><td>10</td></tr><tr><td>1</td></tr></tbody></table>
<div class="tip" hidden></div></main><script>nowhere();</script></body></html>"""


def comparison() -> str:
    """Three runs on one test part."""
    with TemporaryDirectory() as folder:
        return contest.render(compare_runs(three_runs(Path(folder))))


PAGES = {
    "pictures": pictures,
    "sounds": sounds,
    "texts": texts,
    "labels": lambda: render(evidence("multi-label")),
    "comparison": comparison,
    "flawed": lambda: FLAWED,
}


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What one browser found on every page, by its name."""
    node = shutil.which("node")
    missing = [
        what
        for what, there in (
            ("node", node), ("chromium", BROWSER),
            ("tests/browser/node_modules (make unit installs them)",
             (HERE / "node_modules" / "playwright-core").is_dir()),
        )
        if not there
    ]  # fmt: skip
    if missing:
        pytest.skip(f"{' and '.join(missing)} absent: the pages were not tried in a real browser")
    folder = tmp_path_factory.mktemp("pages")
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_text(make(), encoding="utf-8")
    kept = os.environ.get("HEADSTART_LOOKS", "")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
    files = [str(folder / f"{name}.html") for name in PAGES]
    found = subprocess.run(
        [str(node), str(HERE / "look.mjs"), kept, *files], capture_output=True, text=True,
        timeout=300, env=os.environ | {"CHROMIUM": str(BROWSER)},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    return {page["page"]: page for page in json.loads(found.stdout)}


@pytest.mark.parametrize("name", [name for name in PAGES if name != "flawed"])
def test_a_page_works_in_a_real_browser(name: str, looks: dict[str, dict[str, Any]]) -> None:
    look = looks[name]
    assert look["wrong"] == []
    assert look["charts"]["drawings"] > 5 and look["charts"]["charts"] >= 3
    assert look["tables"] > 10 and (look["legends"] >= 2 or name == "comparison")
    assert look["bare"] >= 1 and 1 <= look["paper"] < 20


def test_the_looks_find_what_is_wrong(looks: dict[str, dict[str, Any]]) -> None:
    wrong = "\n".join(looks["flawed"]["wrong"])
    for part in ("error: nowhere is not defined", "request: https://example.invalid/a.png",
                 "drawings without a size", "nothing drawn at <circle", "hover: mark: null",
                 "no label: <svg", "legend: a: 0, 0, 0 parts drawn", "first press sorts null",
                 "2,2 before 10,10", "phone: squeezed: s",
                 "axe, light: color-contrast", "phone: 908 pixels"):  # fmt: skip
        assert part in wrong, f"{part!r} is not in:\n{wrong}"
