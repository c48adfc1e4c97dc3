"""Texts: strings, or files of UTF-8."""

from __future__ import annotations

import codecs
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Item
from headstart.data.modality.base import InputSpec, SimpleFeatures
from headstart.errors import Unreadable

MAX_CHARACTERS = 100_000  # longer texts are cut there
SHOWN = 600  # characters in a report
MAX_TERMS = 50_000

# Words of one character count; scripts written without spaces give one token a character.
_NO_SPACES = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = rf"(?u)[{_NO_SPACES}]|[^\W{_NO_SPACES}]+"


class TextModality:
    """Texts: a str, or the Path of a text file."""

    name = "text"
    suffixes = frozenset({".txt"})

    def read(self, item: Item) -> bytes:
        """Return the text as UTF-8, all of it. Raises Unreadable."""
        return _text(item).encode("utf-8", "surrogatepass")

    def decode(self, item: Item, spec: InputSpec) -> str:
        """Return the text, cut at 100,000 characters. Raises Unreadable where there is none.

        Lone surrogates, which no tokeniser takes, become question marks.
        """
        text = _text(item)[:MAX_CHARACTERS]
        if not text.strip():
            raise Unreadable("empty text")
        return text.encode("utf-8", "replace").decode("utf-8")

    def fit_simple(self, decoded: Sequence[str]) -> SimpleFeatures:
        """Fit TF-IDF of words and word pairs; of characters where there is no word at all."""
        return fit(decoded)

    def simple_from_state(
        self, settings: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> SimpleFeatures:
        """Rebuild what `state` of the simple features gave."""
        return Tfidf(settings["analyzer"], tuple(settings["vocabulary"]), arrays["idf"])

    def show(self, item: Item) -> str:
        """Return the first 600 characters, escaped, or the reason why there are none."""
        try:
            text = self.decode(item, InputSpec())
        except Unreadable as error:
            return f"<em>{html.escape(str(error))}</em>"
        more = "…" if len(text) > SHOWN else ""
        return f"<q>{html.escape(text[:SHOWN])}{more}</q>"


@dataclass(frozen=True, slots=True, eq=False)
class Tfidf:
    """Fitted TF-IDF: `analyzer` "word" or "char", `vocabulary` in column order, `idf` (d,)."""

    analyzer: str
    vocabulary: tuple[str, ...]
    idf: np.ndarray
    name: str = "tf-idf"

    def transform(self, decoded: Sequence[str]) -> Any:
        """Return a scipy CSR matrix (n, d) float32; rows of length 1, or 0 with no known term."""
        vectorizer = _vectorizer(self.analyzer, vocabulary=list(self.vocabulary))
        vectorizer.idf_ = self.idf
        return vectorizer.transform(decoded)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return (JSON-able settings, arrays)."""
        settings = {"analyzer": self.analyzer, "vocabulary": list(self.vocabulary)}
        return settings, {"idf": self.idf}


def fit(decoded: Sequence[str]) -> Tfidf:
    """Fit TF-IDF on training texts; at most 50,000 terms, the most frequent ones.

    A term must stand in 1 text of up to 1,000 texts, 2 of up to 50,000, else 3.
    """
    if not len(decoded):
        raise ValueError("TF-IDF is fitted on at least 1 training text, got 0.")
    least = 1 if len(decoded) <= 1_000 else 2 if len(decoded) <= 50_000 else 3
    for analyzer, min_df in (("word", least), ("word", 1), ("char", 1)):
        vectorizer = _vectorizer(analyzer, max_features=MAX_TERMS, min_df=min_df)
        try:
            vectorizer.fit(decoded)
        except ValueError:  # scikit-learn found no term at all
            continue
        terms = tuple(str(term) for term in vectorizer.get_feature_names_out())
        return Tfidf(analyzer, terms, np.asarray(vectorizer.idf_))
    raise ValueError("TF-IDF found no term: every training text is empty.")


def _vectorizer(analyzer: str, **options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, 2),
        token_pattern=TOKEN if analyzer == "word" else None,
        sublinear_tf=True,
        dtype=np.float32,
        **options,
    )


def _text(item: Item) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, Path):
        raise Unreadable(f"no text: expected a string, got {type(item).__name__}")
    try:
        with item.open("rb") as file:
            # 4 bytes a character at most; the cut may split the last one, which is left out.
            raw = file.read(4 * MAX_CHARACTERS + 4)
            whole = not file.read(1)
    except OSError as error:
        raise Unreadable((error.strerror or str(error)).lower()) from None
    if not raw:
        raise Unreadable("zero bytes")
    if b"\0" in raw:
        raise Unreadable("not UTF-8 text: it contains NUL bytes")
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(raw, final=whole)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start}"
        ) from None


TEXT = TextModality()
