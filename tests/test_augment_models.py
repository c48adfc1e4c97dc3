"""Texts rewritten by tiny random models: the machinery, safety, and what is drawn from the seed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.augment import Chain, parse
from headstart.data.augment.text_models import BackTranslate, Masked
from headstart.errors import ModelError, ModelNotFound, UnsafeWeights, UsageError
from headstart.sources.writers import equipped, open_filler, open_translator
from headstart.testing.augment import AugmentationConformance, rng
from sources_for_tests import TEXT, WORDS, write_tokenizer

pytestmark = pytest.mark.usefixtures("one_core")
SENTENCE = "the film was good, and the plot is Bright!"


def write(folder: Path, kind: str, *, seed: int = 0) -> Path:
    """Write a random model that writes: "masked" (BERT), "t5" or "marian"."""
    import torch
    import transformers

    from headstart.sources.loading import quiet

    small = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    marian = {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 64, "pad_token_id": 0, "eos_token_id": 3,
        "decoder_start_token_id": 0, "forced_eos_token_id": None,
    }  # fmt: skip
    make: dict[str, Any] = {
        "masked": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**TEXT)),
        "t5": lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                **small, vocab_size=40, pad_token_id=0, eos_token_id=3, decoder_start_token_id=0
            )
        ),
        "marian": lambda: transformers.MarianMTModel(
            transformers.MarianConfig(**marian, vocab_size=40)
        ),
    }
    with quiet():
        torch.default_generator.manual_seed(seed)
        make[kind]().save_pretrained(folder)
    write_tokenizer(folder)
    if kind == "masked":
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenizer.add_special_tokens({"mask_token": "[MASK]"})
        tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("writers")
    return {kind: write(place / kind, kind) for kind in ("masked", "t5", "marian")}


class Equipped(AugmentationConformance):
    """Conformance once the models are open; a spec gives back the rest."""

    @pytest.fixture(autouse=True)
    def _open(self, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        one = equipped(Chain("text", (self.made(folders),))).augmentations[0]
        monkeypatch.setattr(type(self), "augmentation", one, raising=False)

    def made(self, folders: dict[str, Path]) -> Any:
        raise NotImplementedError


class TestMasked(Equipped):
    wrong = ("masked:x:2", "masked:x:0.1:0", "masked", "masked: ")

    def made(self, folders: dict[str, Path]) -> Masked:
        return Masked(str(folders["masked"]), share=0.3, top=5)


class TestBackTranslate(Equipped):
    wrong = ("backtranslate:a", "backtranslate:a:b:top=0", "backtranslate:a:b:chance=2")
    draws = 4  # random models never stop early

    def examples(self) -> list[str]:
        return ["good film", "the plot is dull", "it was bright", "not very good"]

    def made(self, folders: dict[str, Path]) -> BackTranslate:
        return BackTranslate(str(folders["marian"]), str(folders["t5"]), top=8, chance=0.9)


def test_models_must_be_opened_first(folders: dict[str, Path]) -> None:
    for spec in (f"masked:{folders['masked']}", f"backtranslate:{folders['t5']}:{folders['t5']}"):
        with pytest.raises(UsageError, match="equipped"):
            parse(spec, "text").example(SENTENCE, rng=rng(0))
        chain = equipped(parse(spec, "text"))
        assert str(chain) == spec
        assert isinstance(chain.example(SENTENCE, rng=rng(0)), str)


def test_as_many_words_are_exchanged_as_stated(folders: dict[str, Path]) -> None:
    chain = equipped(parse(f"masked:{folders['masked']}:0.33", "text"))
    before = SENTENCE.split()
    for seed in range(20):
        after = chain.example(SENTENCE, rng=rng(seed)).split()
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert len(changed) == 3
        for old, new in changed:
            assert new.strip(",!").lower() in WORDS
            assert (old[-1] in ",!") == (new[-1] in ",!"), "a sign went with the word"


def test_draws_follow_the_model(folders: dict[str, Path]) -> None:
    """The words at one place come as often as the model's own probabilities say."""
    import torch

    writer = open_filler(folders["masked"].absolute())
    text, span = "the film was good", (4, 8)
    found = [writer.fill(text, [span], top=3, rng=rng(seed))[span] for seed in range(600)]
    rows = writer.tokenizer("the [MASK] was good", return_tensors="pt")
    with torch.inference_mode():
        scores = writer.model(**rows).logits[0, 2].double().numpy()  # [CLS] the [MASK]
    known = {word: scores[writer.tokenizer.convert_tokens_to_ids(word)] for word in WORDS}
    del known["film"]
    best = sorted(known, key=lambda word: -known[word])[:3]
    shares = np.exp([known[word] for word in best])
    shares /= shares.sum()
    assert set(found) == set(best)
    for word, share in zip(best, shares, strict=True):
        assert found.count(word) / 600 == pytest.approx(share, abs=0.06)


def test_long_and_odd_texts(folders: dict[str, Path]) -> None:
    chain = equipped(parse(f"masked:{folders['masked']}", "text"))
    long = "film " * 5000
    after = chain.example(long, rng=rng(0))
    assert after != long and after.split()[200:] == long.split()[200:]  # 64 positions
    for text in ("[MASK] the film", "!!! ...", "", "好"):
        assert isinstance(chain.example(text, rng=rng(0)), str)
    assert chain.example("!!! ...", rng=rng(0)) == "!!! ..."


@pytest.mark.parametrize("kind", ["t5", "marian"])
def test_one_likeliest_token_is_what_transformers_generates(
    folders: dict[str, Path], kind: str
) -> None:
    writer = open_translator(folders[kind].absolute())
    rows = writer.tokenizer(SENTENCE, return_tensors="pt")
    rows = {key: rows[key] for key in ("input_ids", "attention_mask")}
    greedy = writer.model.generate(
        **rows, do_sample=False, num_beams=1, max_new_tokens=2 * rows["input_ids"].shape[1] + 16
    )
    said = writer.tokenizer.decode(greedy[0], skip_special_tokens=True).strip()
    assert writer.rewrite(SENTENCE, top=1, rng=rng(0)) == said
    assert len({writer.rewrite(SENTENCE, top=10, rng=rng(seed)) for seed in range(5)}) > 1


def test_what_t5_is_asked_is_part_of_its_input(folders: dict[str, Path]) -> None:
    t5 = str(folders["t5"])
    seen: list[str] = []

    class Spy:
        def rewrite(self, text: str, *, top: int, rng: np.random.Generator) -> str:
            seen.append(text)
            return "" if text == "mute" else f"<{text}>"

    one = BackTranslate(t5, t5, chance=1, ask_there="to German: ", ask_back="to English: ")
    one = one.equipped((Spy(), Spy()))
    assert one.example("film", rng=rng(0)) == "<to English: <to German: film>>"
    quiet = BackTranslate(t5, t5, chance=1).equipped((Spy(), Spy()))
    assert quiet.example("mute", rng=rng(0)) == "mute"


def test_a_folder_is_opened_once(folders: dict[str, Path]) -> None:
    spec = f"masked:{folders['masked']}:0.1,masked:{folders['masked']}:0.2"
    one, other = equipped(parse(spec, "text")).augmentations
    assert one.writer is other.writer  # type: ignore[attr-defined]


def test_models_that_cannot_write(folders: dict[str, Path], tmp_path: Path) -> None:
    def fails(spec: str, kind: type[Exception]) -> str:
        with pytest.raises(kind) as caught:
            equipped(parse(spec, "text"))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no/such" in fails("masked:no/such", ModelNotFound)
    assert "not a translator" in fails(
        f"backtranslate:{folders['masked']}:{folders['t5']}", ModelError
    )
    assert "not a masked" in fails(f"masked:{folders['t5']}", ModelError)
    from sources_for_tests import write_model

    headless = write_model(tmp_path / "bert", "bert")
    assert "lack" in fails(f"masked:{headless}", ModelError)
    (headless / "model.safetensors").unlink()
    (headless / "pytorch_model.bin").write_bytes(b"\x80\x02garbage")
    assert "pickle" in fails(f"masked:{headless}", UnsafeWeights)


def test_threads_leave_torchs_generator_alone(folders: dict[str, Path]) -> None:
    import torch

    chain = equipped(parse(f"backtranslate:{folders['t5']}:{folders['marian']}:chance=1", "text"))
    before = torch.get_rng_state()
    worker = threading.Thread(target=lambda: chain.example(SENTENCE, rng=rng(0)))
    worker.start()
    worker.join()
    assert torch.equal(torch.get_rng_state(), before)


def test_vocabularies_of_pieces_give_whole_words_only(tmp_path: Path) -> None:
    """RoBERTa's tokens mark where a word begins; its mask token takes the space before it."""
    import tokenizers
    import torch
    import transformers

    pieces = tokenizers.ByteLevelBPETokenizer(add_prefix_space=True)
    text = [" ".join(WORDS), "unbrighten filming dullness goodness plotted " * 3] * 20
    pieces.train_from_iterator(
        text, vocab_size=400, min_frequency=2, special_tokens=["<s>", "<pad>", "</s>", "<mask>"]
    )
    mask = tokenizers.AddedToken("<mask>", lstrip=True)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer, mask_token=mask, pad_token="<pad>",
        bos_token="<s>", eos_token="</s>",
    )  # fmt: skip
    config = transformers.RobertaConfig(**{**TEXT, "vocab_size": 400, "pad_token_id": 1})
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        transformers.RobertaForMaskedLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert open_filler(tmp_path).marks == "Ġ"
    chain = equipped(parse(f"masked:{tmp_path}:0.4:20", "text"))
    whole = {token[1:] for token in tokenizer.get_vocab() if token.startswith("Ġ")}
    seen = set()
    for seed in range(30):
        after = chain.example(SENTENCE, rng=rng(seed))
        assert len(after.split()) == len(SENTENCE.split()), after
        old = zip(SENTENCE.split(), after.split(), strict=True)
        new = {b.strip(",!") for a, b in old if a != b}
        assert new <= whole, new
        seen |= new
    assert len(seen) > 10
