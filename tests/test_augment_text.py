"""Augmentations of texts: words, WordNet and models that write."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headstart.data.augment import parse, wordnet
from headstart.data.augment.text_words import Delete, Swap, Synonyms, replaced, words_of
from headstart.errors import MissingExtra, UsageError
from headstart.testing.augment import AugmentationConformance, rng

# Three senses of film, one of large and two of film as a verb, as Princeton's files have them.
NOUNS = (
    ("film", "movie", "motion_picture"),
    ("film",),
    ("film", "photographic_film"),
    ("film", "sheet"),  # a fourth sense: too rare
    ("dog", "Canis_familiaris", "hound"),
    ("country", "state", "nation"),
    ("plot", "secret_plan"),
)
ADJECTIVES = (
    *(("large(a)", "big(p)"), ("good", "well", "fine"), ("bright", "shining")),
    *(("quick", "fast"), ("lazy", "slow")),
)


def write_wordnet(folder: Path) -> Path:
    """Write a small database in the format of wndb(5)."""
    folder.mkdir(parents=True)
    for part, synsets in (("noun", NOUNS), ("adj", ADJECTIVES), ("verb", ()), ("adv", ())):
        letter, data = part[0], "  1 This is the licence.\n"
        senses: dict[str, list[str]] = {}
        for words in synsets:
            offset = f"{len(data):08d}"
            listed = " ".join(f"{word} 0" for word in words)
            data += f"{offset} 05 {letter} {len(words):02x} {listed} 001 @ 00000000 {letter} 0000"
            data += " | a gloss\n"
            for word in words:
                senses.setdefault(word.split("(")[0].lower(), []).append(offset)
        index = "  1 This is the licence.\n" + "".join(
            f"{word} {letter} {len(found)} 1 @ {len(found)} 0 {' '.join(found)}  \n"
            for word, found in sorted(senses.items())
        )
        (folder / f"data.{part}").write_text(data)
        (folder / f"index.{part}").write_text(index)
    return folder


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No WordNet anywhere, until a test sets one up."""
    monkeypatch.setattr(wordnet, "SYSTEM", ())
    for name in ("WNSEARCHDIR", "WNHOME", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(wordnet.sys, "prefix", str(tmp_path / "prefix"))
    wordnet.thesaurus.cache_clear()
    yield
    wordnet.thesaurus.cache_clear()


@pytest.fixture
def small_wordnet(nothing_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_wordnet(tmp_path / "nltk_data" / "corpora" / "wordnet")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk_data"))
    return folder


class TestDelete(AugmentationConformance):
    augmentation = Delete(share=0.3)
    wrong = ("delete:-0.1", "delete:1", "delete:x")


class TestSwap(AugmentationConformance):
    augmentation = Swap(share=0.2)
    wrong = ("swap:-0.1", "swap:1.5")


@pytest.mark.usefixtures("small_wordnet")
class TestSynonyms(AugmentationConformance):
    augmentation = Synonyms(share=0.15)
    wrong = ("synonyms:2", "synonyms:language=Deutsch!")


def test_words_and_what_stands_between_them() -> None:
    text = " A  quick\tfox;\n今日は good "
    assert [text[a:b] for a, b in words_of(text)] == [
        "A", "quick", "fox;", "今", "日", "は", "good",
    ]  # fmt: skip
    assert replaced("one two three", {(4, 7): "2", (0, 3): "1"}) == "1 2 three"


def test_deletion_takes_the_stated_share_and_keeps_the_order() -> None:
    text = " ".join(f"w{k}" for k in range(1000))
    left = Delete(share=0.2).example(text, rng=rng(0)).split(" ")
    assert 760 < len(left) < 840
    assert left == sorted(left, key=lambda word: int(word[1:]))


@pytest.mark.parametrize("text", ["one", " one ", "...", "", "   "])
def test_one_word_or_none_stays(text: str) -> None:
    for spec in ("delete:0.9", "swap", "auto"):
        assert parse(spec, "text").example(text, rng=rng(0)) == text


def test_deletion_never_takes_the_last_word() -> None:
    found = Counter(Delete(share=0.9).example("a b", rng=rng(seed)) for seed in range(200))
    assert set(found) == {"a", "b", "a b"}
    assert found["a"] > 50 < found["b"]


def test_swaps_keep_every_word_and_every_space() -> None:
    text = "a  b\tc\nd e f g h i j"
    found = Swap(share=0.1).example(text, rng=rng(0))
    assert sorted(found.split()) == sorted(text.split())
    assert "".join(c for c in found if c.isspace()) == "".join(c for c in text if c.isspace())
    assert sum(a != b for a, b in zip(found.split(), text.split(), strict=True)) == 2


@pytest.mark.usefixtures("small_wordnet")
def test_synonyms_are_those_of_the_three_first_senses() -> None:
    found = wordnet.thesaurus("en")
    assert found.synonyms("film") == ("motion picture", "movie", "photographic film")
    assert found.synonyms("large") == ("big",)
    assert found.synonyms("motion picture") == ("film", "movie")
    assert found.synonyms("dog") == ("hound",)  # no names
    assert found.synonyms("unheard") == ()


@pytest.mark.usefixtures("small_wordnet")
def test_synonyms_follow_the_case_and_leave_grammar_and_signs() -> None:
    one = Synonyms(share=1)
    assert one.example("Large, (LARGE) and not large!", rng=rng(0)) == "Big, (BIG) and not big!"
    assert one.example("it was not", rng=rng(0)) == "it was not"
    assert one.example("", rng=rng(0)) == ""
    some = [Synonyms(share=0.1).example("good bright quick dog", rng=rng(s)) for s in range(30)]
    assert all(sum(w not in text for w in ("good", "bright", "quick", "dog")) == 1 for text in some)


def test_the_zip_file_of_nltk_is_read_too(small_wordnet: Path) -> None:
    folder = wordnet.thesaurus("en")
    with zipfile.ZipFile(small_wordnet.with_suffix(".zip"), "w") as file:
        for path in sorted(small_wordnet.iterdir()):
            file.write(path, f"wordnet/{path.name}")
            path.unlink()
    wordnet.thesaurus.cache_clear()
    packed = wordnet.thesaurus("en")
    assert packed is not folder and packed.synonyms("film") == folder.synonyms("film")
    small_wordnet.with_suffix(".zip").write_bytes(b"PK, and nothing more")
    assert list(wordnet.databases()) == []


@pytest.mark.usefixtures("nothing_installed")
def test_without_a_wordnet_it_says_where_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import builtins

    real = builtins.__import__

    def without_wn(name: str, *rest: object, **more: object) -> object:
        if name == "wn":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_wn)
    with pytest.raises(UsageError, match="wordnet-base"):
        Synonyms().example("a good film", rng=rng(0))
    with pytest.raises(MissingExtra, match=r"headstart\[augment\]"):
        Synonyms(language="de").example("ein guter Film", rng=rng(0))


LMF = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.0.dtd">
<LexicalResource xmlns:dc="http://purl.org/dc/elements/1.1/">
<Lexicon id="tiny" label="Tiny" language="de" email="a@b" license="x" version="1" url="">
<LexicalEntry id="e1"><Lemma writtenForm="Film" partOfSpeech="n"/>
<Sense id="s1" synset="tiny-1-n"/></LexicalEntry>
<LexicalEntry id="e2"><Lemma writtenForm="Streifen" partOfSpeech="n"/>
<Sense id="s2" synset="tiny-1-n"/></LexicalEntry>
<Synset id="tiny-1-n" ili="" partOfSpeech="n"/>
</Lexicon></LexicalResource>
"""


@pytest.mark.usefixtures("nothing_installed")
def test_other_languages_come_from_the_package_wn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wn = pytest.importorskip("wn")
    (tmp_path / "tiny.xml").write_text(LMF)
    monkeypatch.setattr(wn.config, "data_directory", tmp_path / "wn")
    wordnet.WN_THREAD.submit(wn.add, tmp_path / "tiny.xml", progress_handler=None).result()
    one = Synonyms(share=1, language="de")
    assert one.example("Ein guter Film.", rng=rng(0)) == "Ein guter Streifen."
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda seed: one.example("Ein Film!", rng=rng(seed)), range(9))
        assert set(found) == {"Ein Streifen!"}
    with pytest.raises(UsageError, match="the package wn has: de"):
        Synonyms(language="fr").example("un film", rng=rng(0))
