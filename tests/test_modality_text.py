"""Texts: conformance, encodings, bounds, and TF-IDF against a slow reference."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from headstart.data.modality.base import InputSpec
from headstart.data.modality.text import MAX_CHARACTERS, TEXT
from headstart.errors import Unreadable
from headstart.testing.modality import HOSTILE, ModalityConformance, dense

SPEC = InputSpec()


class TestText(ModalityConformance):
    modality = TEXT

    def items(self, folder):
        file = folder / "note.txt"
        file.write_text("a letter from Zürich", encoding="utf-8")
        return ["good film", "bad film, very bad", "I saw 1 film", "映画を見た", file]

    def garbage(self, folder):
        (folder / "empty.txt").write_bytes(b"")
        (folder / "latin1.txt").write_bytes("Zürich".encode("latin-1"))
        (folder / "utf16.txt").write_text("Zürich", encoding="utf-16")
        (folder / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
        names = ("empty.txt", "latin1.txt", "utf16.txt", "picture.txt", "absent.txt")
        return ["", " \t\n\u3000", math.nan, None, 3, *(folder / name for name in names), folder]

    def hostile(self, folder):
        return [HOSTILE, HOSTILE * 40]


def test_reasons_say_what_is_wrong(tmp_path: Path):
    (tmp_path / "latin1.txt").write_bytes("Zürich".encode("latin-1"))
    with pytest.raises(Unreadable, match=r"^not UTF-8: byte 0xfc at position 1$"):
        TEXT.decode(tmp_path / "latin1.txt", SPEC)
    with pytest.raises(Unreadable, match=r"^no text: expected a string, got float$"):
        TEXT.decode(math.nan, SPEC)


def test_a_file_and_a_string_of_one_content_are_one_example(tmp_path: Path):
    file = tmp_path / "bom.txt"
    file.write_bytes(b"\xef\xbb\xbf" + "naïve".encode())
    assert TEXT.read(file) == TEXT.read("naïve") == "naïve".encode()
    assert TEXT.decode(file, SPEC) == "naïve"


def test_long_texts_are_cut_even_within_a_character(tmp_path: Path):
    long = "é" * (3 * MAX_CHARACTERS)
    assert TEXT.decode(long, SPEC) == long[:MAX_CHARACTERS]
    file = tmp_path / "long.txt"
    file.write_text("x" + long, encoding="utf-8")  # the byte bound now splits an é
    assert TEXT.decode(file, SPEC) == ("x" + long)[:MAX_CHARACTERS]
    assert len(TEXT.show(long)) < 700


def test_lone_surrogates_neither_break_reading_nor_reach_a_tokeniser():
    assert TEXT.read("a\ud800b") != TEXT.read("a?b")
    assert TEXT.decode("a\ud800b", SPEC) == "a?b"


def test_tfidf_equals_a_slow_count():
    texts = ["I saw a film", "a film a day", "no"]
    fitted = TEXT.fit_simple(texts)
    settings, _ = fitted.state()
    got = dense(fitted.transform(texts))
    words = [text.lower().split() for text in texts]
    terms = [w + [f"{a} {b}" for a, b in pairwise(w)] for w in words]
    assert sorted({t for row in terms for t in row}) == settings["vocabulary"]
    for row, present in enumerate(terms):
        want = np.zeros(len(settings["vocabulary"]))
        for column, term in enumerate(settings["vocabulary"]):
            count = present.count(term)
            found = sum(term in other for other in terms)
            if count:
                want[column] = (1 + math.log(count)) * (math.log((1 + 3) / (1 + found)) + 1)
        np.testing.assert_allclose(got[row], want / np.linalg.norm(want), rtol=1e-5)


def test_texts_without_words_fall_back_to_characters():
    fitted = TEXT.fit_simple([":-) :-)", ":-( !!", "???"])
    assert fitted.state()[0]["analyzer"] == "char"
    assert (dense(fitted.transform([":-)", ":-("])) > 0).any(axis=1).all()


def test_scripts_without_spaces_are_told_apart_by_character():
    vocabulary = TEXT.fit_simple(["今日は雨", "明日は晴れ"]).state()[0]["vocabulary"]
    assert "は" in vocabulary and "今日は雨" not in vocabulary


def test_rare_terms_are_dropped_once_there_are_many_texts():
    texts = [f"common word{row}" for row in range(1001)]
    assert TEXT.fit_simple(texts).state()[0]["vocabulary"] == ["common"]
    assert len(TEXT.fit_simple(texts[:1000]).state()[0]["vocabulary"]) == 2001
