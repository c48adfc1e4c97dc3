"""The documents keep their promises: names, links, and code that at least compiles."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import headstart

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """Return the page without its code blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as a forge makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", headstart.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    written = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert re.search(rf"headstart\.{name}\b|`{name}`", written), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, which is not there"
        assert file.is_relative_to(ROOT), f"{page.name} links out of the project: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name}: no heading for {target}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(LINK.findall(prose(ROOT / "README.md")))
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= linked, sorted(pages - linked)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile(page: Path) -> None:
    blocks = [code for kind, code in FENCE.findall(page.read_text("utf-8")) if kind == "python"]
    assert blocks or page.name != "README.md", "the README shows no Python"
    for code in blocks:
        ast.parse(code, filename=page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    """Every line of code that calls `headstart` names a command and options that there are."""
    import typer

    from headstart.cli import app

    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    text = page.read_text("utf-8")
    for line in re.findall(r"^(?:    |\$ )headstart (?!-)(.+)$", text, re.MULTILINE):
        name, *rest = line.split("#")[0].split()
        assert name in known, line
        options = {o for p in known[name].params for o in (*p.opts, *p.secondary_opts)}
        used = {word.split("=")[0] for word in rest if word.startswith("--")}
        assert used <= options | {"--help"}, line


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*"))
    assert pictures
    for picture in pictures:
        assert picture.suffix == ".png" and picture.stat().st_size < 300_000, picture
