"""Texts: random deletion and swaps of words, and synonyms. White space stays as it was."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import wordnet
from headstart.data.augment.base import OnExamples, within

# A word is what stands between white space; scripts written without spaces give one a character.
_NO_SPACES = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{_NO_SPACES}]|[^\s{_NO_SPACES}]+")
# What stands around a word and is not it: quotes, brackets, full stops.
CORE = re.compile(r"\w(?:[\w'’-]*\w)?")
# Words that carry a sentence's grammar, or turn its meaning round: never exchanged for synonyms.
GRAMMAR = (
    "a an and are as at be been but by can could did do does for from had has have he her him his "
    "i if in is it its just may me might my no nor not of on or our she should so than that the "
    "their them then there these they this those to was we were what when where which who will "
    "with would you your never none nothing"
)
KEPT = frozenset(GRAMMAR.split())


def words_of(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of every word."""
    return [match.span() for match in WORD.finditer(text)]


def replaced(text: str, words: dict[tuple[int, int], str]) -> str:
    """Return `text` with the spans (start, end) exchanged for other words."""
    parts, at = [], 0
    for (start, end), word in sorted(words.items()):
        parts += [text[at:start], word]
        at = end
    return "".join([*parts, text[at:]])


def chosen(count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw round(share * count) of `count` places, at least one, in order; none for share 0."""
    wanted = min(count, max(1, round(share * count))) if share else 0
    return np.sort(rng.permutation(count)[:wanted])


@dataclass(frozen=True, slots=True)
class Delete(OnExamples):
    """Leave out each word with probability `share`; one word at least is kept.

    Source: Wei and Zou, EDA, EMNLP 2019 (random deletion; they advise 0.05 to 0.1).
    """

    share: float = 0.1
    name: ClassVar[str] = "delete"
    modality: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        within(self, "share", 0, 0.9)

    def example(self, decoded: str, *, rng: np.random.Generator) -> str:
        """Return the text without some words and the white space after each of them."""
        spans = words_of(decoded)
        if len(spans) < 2:
            return decoded
        gone = rng.random(len(spans)) < self.share
        if gone.all():
            gone[int(rng.integers(len(spans)))] = False
        if not gone.any():
            return decoded
        ends = [start for start, _ in spans[1:]] + [len(decoded)]
        kept = [
            decoded[start:end]
            for (start, _), end, out in zip(spans, ends, gone, strict=True)
            if not out
        ]
        return decoded[: spans[0][0]] + "".join(kept).rstrip()


@dataclass(frozen=True, slots=True)
class Swap(OnExamples):
    """Exchange two random words, once for each `share` of the words (at least once).

    Source: Wei and Zou, EDA, EMNLP 2019 (random swap).
    """

    share: float = 0.1
    name: ClassVar[str] = "swap"
    modality: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        within(self, "share", 0, 1)

    def example(self, decoded: str, *, rng: np.random.Generator) -> str:
        """Return the text with words exchanged; what stands between them stays in place."""
        spans = words_of(decoded)
        if len(spans) < 2 or not self.share:
            return decoded
        words = [decoded[start:end] for start, end in spans]
        for _ in range(max(1, round(self.share * len(words)))):
            one, other = (int(place) for place in rng.choice(len(words), 2, replace=False))
            words[one], words[other] = words[other], words[one]
        return replaced(decoded, dict(zip(spans, words, strict=True)))


@dataclass(frozen=True, slots=True)
class Synonyms(OnExamples):
    """Exchange a `share` of the words (at least one) for synonyms from WordNet.

    Only words that WordNet knows as they stand are exchanged, no single letters, and none of the
    grammar words in KEPT ("not" among them). `language`: of the wordnet; English is read from an
    installed WordNet database, others through the package `wn`. Raises UsageError or MissingExtra
    where there is none. Source: Wei and Zou, EDA, EMNLP 2019 (synonym replacement); Miller, 1995.
    """

    share: float = 0.1
    language: str = "en"
    name: ClassVar[str] = "synonyms"
    modality: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        within(self, "share", 0, 1)
        wordnet.check_language(self.language)

    def example(self, decoded: str, *, rng: np.random.Generator) -> str:
        """Return the text with synonyms in it; letters' case follows the word that stood there."""
        if not self.share:
            return decoded
        thesaurus = wordnet.thesaurus(self.language)
        spans = words_of(decoded)
        wanted = max(1, round(self.share * len(spans)))
        changed: dict[tuple[int, int], str] = {}
        for place in rng.permutation(len(spans)):
            if len(changed) == wanted:
                break
            start, end = spans[int(place)]
            core = CORE.search(decoded, start, end)
            if core is None or len(core[0]) < 2 or core[0].lower() in KEPT:
                continue
            others = thesaurus.synonyms(core[0].lower())
            if others:
                word = others[int(rng.integers(len(others)))]
                changed[core.span()] = _cased(word, core[0])
        return replaced(decoded, changed)


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word
