"""Texts rewritten by models that the person names: a masked language model, or two translators.

This room loads no models. `sources.writers.equipped(chain)` opens the folders and puts what it
opened into the field `writer`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from headstart.data.augment.base import OnExamples, happens, within
from headstart.data.augment.text_words import CORE, chosen, replaced, words_of
from headstart.errors import UsageError

UNSPOKEN = {"spec": False}  # metadata of fields that a spec cannot name


class Filler(Protocol):
    """A masked language model."""

    def fill(
        self, text: str, spans: list[tuple[int, int]], *, top: int, rng: np.random.Generator
    ) -> dict[tuple[int, int], str]:
        """Return new words for spans of `text` (sorted, apart); some may be left out.

        Each is drawn from the `top` most likely words but the one that stood there.
        """


class Translator(Protocol):
    """A sequence-to-sequence model."""

    def rewrite(self, text: str, *, top: int, rng: np.random.Generator) -> str:
        """Return the model's text, each token drawn from the `top` most likely ones."""


@dataclass(frozen=True, slots=True)
class Masked(OnExamples):
    """Exchange a `share` of the words for what a masked language model would say there.

    `model`: folder of a model with a mask token (BERT, RoBERTa …). All chosen words are masked at
    once; each new one is drawn from the `top` most likely words, by their probability. Words
    beyond the model's length stay. Source: Kobayashi, NAACL 2018; Wu et al., ICCS 2019.
    """

    model: str
    share: float = 0.15
    top: int = 10
    writer: Filler | None = field(default=None, compare=False, repr=False, metadata=UNSPOKEN)
    name: ClassVar[str] = "masked"
    modality: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        _need_folders(self, "model")
        within(self, "share", 0, 1)
        within(self, "top", 1, 1000)

    @property
    def folders(self) -> tuple[str, ...]:
        """The model folders that `writer` is opened from."""
        return (self.model,)

    def equipped(self, fillers: tuple[Any, ...]) -> Masked:
        """Return the same with the opened model."""
        return replace(self, writer=fillers[0])

    def example(self, decoded: str, *, rng: np.random.Generator) -> str:
        """Return the text with other words in it. Raises UsageError before it is equipped."""
        if self.writer is None:
            raise not_open(self)
        cores = [
            match.span() for span in words_of(decoded) if (match := CORE.search(decoded, *span))
        ]
        spans = [cores[int(place)] for place in chosen(len(cores), self.share, rng)]
        if not spans:
            return decoded
        return replaced(decoded, self.writer.fill(decoded, spans, top=self.top, rng=rng))


@dataclass(frozen=True, slots=True)
class BackTranslate(OnExamples):
    """Translate into another language and back, with probability `chance`.

    `there`, `back`: folders of sequence-to-sequence models (Marian, T5 …). Each token is drawn
    from the `top` most likely ones; 1 always takes the likeliest, and gives the same text each
    time. `ask_there`, `ask_back`: what T5 wants before a text, such as "translate English to
    German: ". Source: Sennrich et al., ACL 2016; sampling: Edunov et al., EMNLP 2018.
    """

    there: str
    back: str
    top: int = 5
    chance: float = 0.5
    ask_there: str = ""
    ask_back: str = ""
    writers: tuple[Translator, ...] = field(
        default=(), compare=False, repr=False, metadata=UNSPOKEN
    )
    name: ClassVar[str] = "backtranslate"
    modality: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        _need_folders(self, "there", "back")
        within(self, "top", 1, 1000)
        within(self, "chance", 0, 1)

    @property
    def folders(self) -> tuple[str, ...]:
        """The model folders that `writers` are opened from."""
        return (self.there, self.back)

    def equipped(self, translators: tuple[Any, ...]) -> BackTranslate:
        """Return the same with the opened models."""
        return replace(self, writers=translators)

    def example(self, decoded: str, *, rng: np.random.Generator) -> str:
        """Return the text as it comes back, or as it was where nothing comes back."""
        if len(self.writers) != 2:
            raise not_open(self)
        if not happens(self.chance, rng):
            return decoded
        there, back = self.writers
        foreign = there.rewrite(self.ask_there + decoded, top=self.top, rng=rng)
        if not foreign.strip():
            return decoded
        again = back.rewrite(self.ask_back + foreign, top=self.top, rng=rng)
        return again if again.strip() else decoded


def not_open(owner: Masked | BackTranslate) -> UsageError:
    """Return the error of an augmentation whose models were not opened."""
    return UsageError(
        f"Augmentation {owner.name}: its models are not open yet; call "
        "headstart.sources.writers.equipped(chain) first."
    )


def _need_folders(owner: Masked | BackTranslate, *names: str) -> None:
    for name in names:
        if not getattr(owner, name).strip():
            raise UsageError(f"Augmentation {owner.name}: {name} must name a model folder.")
