"""Synonyms from a WordNet that is installed here; nothing is fetched.

English is read straight from a database in Princeton's format: NLTK's corpus (a folder or the zip
file as it was downloaded), Debian's package wordnet-base, or the folder that $WNSEARCHDIR names.
Every wordnet that the package `wn` holds serves too, whatever its language.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from headstart.errors import MissingExtra, UsageError

PARTS = ("noun", "verb", "adj", "adv")
SENSES = 3  # of each part of speech, the most frequent first
NLTK = ("wordnet", "wordnet31", "wordnet2021", "wordnet2022")
SYSTEM = ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")
# Of `wn` there is one connection to its database, and only the thread that opened it may use it.
WN_THREAD = ThreadPoolExecutor(1)
MARKER = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand


class Thesaurus(Protocol):
    """Synonyms of one language."""

    def synonyms(self, word: str) -> tuple[str, ...]:
        """Return other words for `word` (lower case), sorted; () where it is not known."""


class Database:
    """Princeton's format: `index.<part>` names each word's senses in `data.<part>` by offset."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._data = {part: files[f"data.{part}"] for part in PARTS}
        self._senses: dict[str, list[tuple[str, int]]] = {}
        for part in PARTS:
            for line in files[f"index.{part}"].splitlines():
                if not line.startswith(b" "):  # the licence stands indented at the top
                    word, offsets = _index_entry(line.decode())
                    found = self._senses.setdefault(word, [])
                    found += [(part, offset) for offset in offsets[:SENSES]]

    def synonyms(self, word: str) -> tuple[str, ...]:
        """Return the words of the three most frequent senses of each part of speech.

        Names, which are written with a capital, are left out: "major" knows John Major.
        """
        found = {
            other
            for part, offset in self._senses.get(word.replace(" ", "_"), ())
            for other in self._words(part, offset)
        }
        return tuple(sorted(other for other in found if other != word and other == other.lower()))

    def _words(self, part: str, offset: int) -> Iterator[str]:
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode().split(" ")
        for at in range(int(fields[3], 16)):
            yield MARKER.sub("", fields[4 + 2 * at]).replace("_", " ")


class WnPackage:
    """A wordnet of the package `wn`."""

    def __init__(self, wn: Any, language: str) -> None:
        self._words = wn.Wordnet(lang=language)
        self._seen: dict[str, tuple[str, ...]] = {}

    def synonyms(self, word: str) -> tuple[str, ...]:
        """Return the words of the three first senses of each part of speech."""
        if word not in self._seen:
            self._seen[word] = WN_THREAD.submit(self._look_up, word).result()
        return self._seen[word]

    def _look_up(self, word: str) -> tuple[str, ...]:
        found = {
            str(other)
            for entry in self._words.words(word)
            for synset in entry.synsets()[:SENSES]
            for other in synset.lemmas()
        }
        return tuple(sorted(other for other in found if other.lower() != word))


def check_language(language: str) -> None:
    """Raise UsageError for what is no language code such as "en" or "pt-BR"."""
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]{2,8})*", language):
        raise UsageError(
            f"Augmentation synonyms: language must be a code such as en or de, got {language!r}."
        )


@cache
def thesaurus(language: str) -> Thesaurus:
    """Return synonyms of that language. Raises UsageError or MissingExtra where there are none."""
    if language == "en":
        files = next(databases(), None)
        if files is not None:
            return Database(files)
    return _from_wn(language)


def databases() -> Iterator[dict[str, bytes]]:
    """Yield the files of each complete English database that is found."""
    for folder in _folders():
        if all((folder / name).is_file() for name in _names()):
            yield {name: (folder / name).read_bytes() for name in _names()}
        packed = folder.with_name(f"{folder.name}.zip")
        if packed.is_file():
            found = _unpacked(packed, folder.name)
            if found is not None:
                yield found


def _names() -> list[str]:
    return [f"{kind}.{part}" for part in PARTS for kind in ("index", "data")]


def _folders() -> Iterator[Path]:
    if os.environ.get("WNSEARCHDIR"):
        yield Path(os.environ["WNSEARCHDIR"])
    if os.environ.get("WNHOME"):
        yield Path(os.environ["WNHOME"]) / "dict"
    # Where NLTK looks, in its order.
    homes = [Path(place) for place in os.environ.get("NLTK_DATA", "").split(os.pathsep) if place]
    homes += [Path.home() / "nltk_data"]
    homes += [Path(sys.prefix) / inner for inner in ("nltk_data", "share/nltk_data")]
    homes += [Path(place) / "nltk_data" for place in SYSTEM]
    for home in homes:
        for name in NLTK:
            yield home / "corpora" / name
    yield from (Path(place) / "wordnet" for place in SYSTEM)


def _unpacked(packed: Path, inner: str) -> dict[str, bytes] | None:
    try:
        with zipfile.ZipFile(packed) as file:
            return {name: file.read(f"{inner}/{name}") for name in _names()}
    except (OSError, KeyError, zipfile.BadZipFile):
        return None  # another one may be whole


def _index_entry(line: str) -> tuple[str, list[int]]:
    """Parse: word, part, senses, pointers, the pointers, senses, tagged senses, the offsets."""
    fields = line.split()
    return fields[0], [int(offset) for offset in fields[6 + int(fields[3]) :]]


def _from_wn(language: str) -> Thesaurus:
    try:
        import wn
    except ImportError:
        if language != "en":
            raise MissingExtra("wn", "augment") from None
        raise UsageError(
            "Augmentation synonyms: no WordNet is installed. Install one with: apt install "
            "wordnet-base, or python -m nltk.downloader wordnet, or pip install "
            "'headstart[augment]' and python -m wn download oewn:2024."
        ) from None
    return WN_THREAD.submit(_opened, wn, language).result()


def _opened(wn: Any, language: str) -> Thesaurus:
    if not wn.lexicons(lang=language):
        there = ", ".join(sorted({lexicon.language for lexicon in wn.lexicons()})) or "none"
        raise UsageError(
            f"Augmentation synonyms: no wordnet of language {language!r} is installed; the package "
            f"wn has: {there}. List them with: python -m wn projects; get one with: python -m wn "
            "download NAME."
        )
    return WnPackage(wn, language)
