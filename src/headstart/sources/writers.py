"""Models that write: masked language models and translators, for augmentations of text.

They are opened as backbones are: safetensors only, no code of the folder is run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.augment.spec import Chain
from headstart.data.augment.text_models import BackTranslate, Masked
from headstart.errors import ModelError
from headstart.sources.oneline import one_line
from headstart.sources.safety import FolderFiles, look_into

LONGEST = 512  # tokens in and out; attention is quadratic
GROWTH = 2  # a translation has at most this many times the tokens of the text, and SLACK more
SLACK = 16


def equipped(chain: Chain) -> Chain:
    """Return the chain with the models that its augmentations name opened, each folder once.

    Raises ModelNotFound, UnsafeWeights or ModelError, each in one line that says what to do.
    """
    return replace(chain, augmentations=tuple(_with_models(one) for one in chain.augmentations))


def _with_models(one: Any) -> Any:
    if isinstance(one, Masked):
        return one.equipped(tuple(open_filler(_absolute(folder)) for folder in one.folders))
    if isinstance(one, BackTranslate):
        return one.equipped(tuple(open_translator(_absolute(folder)) for folder in one.folders))
    return one


def _absolute(folder: str) -> Path:
    return Path(folder).expanduser().absolute()


@dataclass(frozen=True, slots=True, eq=False)
class MaskedWriter:
    """A masked language model and its tokenizer: a `data.augment.text_models.Filler`."""

    model: Any
    tokenizer: Any
    longest: int
    marks: str  # see _marks

    def fill(
        self, text: str, spans: list[tuple[int, int]], *, top: int, rng: np.random.Generator
    ) -> dict[tuple[int, int], str]:
        """Return a new word for each span that lies within the model's length."""
        import torch

        from headstart.data.augment.text_words import replaced

        mask = self.tokenizer.mask_token
        if mask in text:
            return {}  # the text speaks of the mask token itself
        hidden = replaced(text, dict.fromkeys(spans, mask))
        rows = self.tokenizer(hidden, truncation=True, max_length=self.longest, return_tensors="pt")
        places = torch.nonzero(rows["input_ids"][0] == self.tokenizer.mask_token_id)[:, 0]
        with torch.inference_mode():
            logits = self.model(**rows).logits[0, places].double().numpy()
        found = {}
        for (start, end), scores in zip(spans, logits, strict=False):  # later ones were cut off
            word = self._draw(scores, text[start:end], top, rng)
            if word:
                found[start, end] = word
        return found

    def _draw(self, scores: np.ndarray, old: str, top: int, rng: np.random.Generator) -> str:
        """Draw a whole word other than `old` from the `top` likeliest, or "" where none is."""
        words: list[str] = []
        kept: list[float] = []
        # Pieces of words and signs are passed over, so a few more are looked at.
        for token in np.argsort(-scores, kind="stable")[: 4 * top + 16]:
            word = self._word(int(token))
            if word and word.lower() != old.lower() and word not in words:
                words.append(word)
                kept.append(float(scores[token]))
            if len(words) == top:
                break
        if not words:
            return ""
        shares = np.exp(np.asarray(kept) - kept[0])
        return words[int(rng.choice(len(words), p=shares / shares.sum()))]

    def _word(self, token: int) -> str:
        """Return the token as a word, "" for special tokens, pieces inside words, and signs."""
        if token in self.tokenizer.all_special_ids:
            return ""
        piece = str(self.tokenizer.convert_ids_to_tokens(token))
        if piece.startswith("##"):  # WordPiece
            return ""
        if self.marks and not piece.startswith(self.marks):
            return ""
        word = str(self.tokenizer.decode([token])).strip()
        return word if word.isalnum() else ""


def _marks(tokenizer: Any) -> str:
    """Return what a word's first token begins with in this vocabulary, "" where nothing does.

    WordPiece marks the pieces inside words; byte-level BPE and SentencePiece the beginnings.
    """
    pieces = [str(piece) for piece in tokenizer.get_vocab()]
    return next((m for m in ("Ġ", "▁") if sum(piece.startswith(m) for piece in pieces) > 9), "")


@dataclass(frozen=True, slots=True, eq=False)
class SequenceWriter:
    """A sequence-to-sequence model and its tokenizer: a `data.augment.text_models.Translator`."""

    model: Any
    tokenizer: Any
    longest: int

    def rewrite(self, text: str, *, top: int, rng: np.random.Generator) -> str:
        """Return what the model writes for `text`, which is cut at the model's length."""
        import torch
        from transformers import LogitsProcessorList

        rows = self.tokenizer(text, truncation=True, max_length=self.longest, return_tensors="pt")
        rows = {key: rows[key] for key in ("input_ids", "attention_mask")}
        most = min(self.longest, GROWTH * rows["input_ids"].shape[1] + SLACK)
        with torch.inference_mode():
            written = self.model.generate(
                **rows,
                max_new_tokens=most,
                do_sample=False,
                num_beams=1,
                logits_processor=LogitsProcessorList([_drawing(top, rng)]),
            )
        return str(self.tokenizer.decode(written[0], skip_special_tokens=True)).strip()


def _drawing(top: int, rng: np.random.Generator) -> Any:
    """Return a logits processor under which the greedy choice is a draw from the `top` likeliest.

    The Gumbel trick: the largest of log-probabilities plus Gumbel noise is such a draw. torch's
    own sampling would use its global generator, which other threads use too.
    """
    import torch
    from transformers import LogitsProcessor

    class Drawing(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            best = torch.topk(scores, min(top, scores.shape[-1]))
            noise = torch.from_numpy(rng.gumbel(size=tuple(best.values.shape)))
            drawn = torch.full_like(scores, float("-inf"))
            return drawn.scatter(-1, best.indices, best.values + noise.to(scores.dtype))

    return Drawing()


@cache
def open_filler(folder: Path) -> MaskedWriter:
    """Open a masked language model; a folder is opened once. Raises ModelError and its kin."""
    from transformers import AutoModelForMaskedLM

    model, tokenizer, longest = _open(folder, AutoModelForMaskedLM, "a masked language model")
    if tokenizer.mask_token is None:
        raise ModelError(f"{folder}: its tokenizer has no mask token; choose a model such as BERT.")
    return MaskedWriter(model, tokenizer, longest, _marks(tokenizer))


@cache
def open_translator(folder: Path) -> SequenceWriter:
    """Open a sequence-to-sequence model; a folder is opened once. Raises ModelError and its kin."""
    from transformers import AutoModelForSeq2SeqLM

    model, tokenizer, longest = _open(folder, AutoModelForSeq2SeqLM, "a translator")
    return SequenceWriter(model, tokenizer, longest)


def _open(folder: Path, auto: Any, what: str) -> tuple[Any, Any, int]:
    """Return (model in float32 and eval mode, tokenizer, tokens that a text is cut at)."""
    files = look_into(folder)
    from headstart.sources import loading
    from headstart.sources.preprocess import load_preprocess

    with loading.quiet():
        config = loading.load_config(files)
        model = _load(files, config, auto, what)
        text = load_preprocess("text", folder, config, model)
    tokenizer: Any = text.tokenizer  # type: ignore[attr-defined]
    return model, tokenizer, min(LONGEST, int(tokenizer.model_max_length))


def _load(files: FolderFiles, config: Any, auto: Any, what: str) -> Any:
    import torch

    if type(config) not in auto._model_mapping:
        raise ModelError(
            f"{files.folder} holds a {config.model_type} model, which is not {what}. Name another."
        )
    try:
        model, report = auto.from_pretrained(
            files.folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as error:
        # Shapes that do not fit, a tokenizer's missing package, a config that contradicts itself.
        raise ModelError(f"{files.folder} cannot be loaded: {one_line(error)}") from None
    if report["missing_keys"]:
        raise ModelError(
            f"{files.folder}: its weights lack {len(report['missing_keys'])} tensors of {what}, "
            f"for instance {sorted(report['missing_keys'])[0]}: it was saved without the layers "
            "that write. Name another model."
        )
    return model.eval()
