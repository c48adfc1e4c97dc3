"""Opening folders: pooling against hand-written references, stages, weights, every refusal."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import ModelError, ModelNotFound, UnsafeWeights
from headstart.sources.folder import TransformersBackbone, open_folder
from sources_for_tests import FAMILIES, examples, write_image_processor, write_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of tiny models, each written once; tests copy what they change."""
    root, made = tmp_path_factory.mktemp("tiny"), {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = write_model(root / family, family)
        return made[family]

    return of


def opened(folder: Path, **options: Any) -> TransformersBackbone:
    return open_folder(folder, id=str(folder), source="local", **options)


def embedded(backbone: TransformersBackbone, decoded: list[Any]) -> torch.Tensor:
    with torch.no_grad():
        return backbone.embed(backbone.preprocess(decoded))


def far(left: torch.Tensor, right: torch.Tensor) -> float:
    assert left.shape == right.shape
    return float((left - right).abs().max())


# What is found, family by family: pooling, width, and the modules that are blocks.
EXPECTED = {
    "mobilenet_v1": ("pooler", 256, [f"layer.{i}" for i in range(26)]),
    "mobilenet_v2": ("pooler", 1280, [f"layer.{i}" for i in range(16)]),
    "resnet": (
        "pooler",
        16,
        [f"encoder.stages.{s}.layers.{i}" for s, i in ((0, 0), (1, 0), (1, 1))],
    ),
    "convnext": (
        "pooler",
        16,
        [f"encoder.stages.{s}.layers.{i}" for s, i in ((0, 0), (1, 0), (1, 1))],
    ),
    "vit": ("cls", 16, None),
    "swin": ("pooler", 16, [f"encoder.layers.{s}.blocks.{i}" for s, i in ((0, 0), (1, 0), (1, 1))]),
    "dinov2": ("pooler", 16, None),
    "clip": ("pooler", 16, None),
    "bert": ("mean", 16, ["encoder.layer.0", "encoder.layer.1"]),
    "distilbert": ("mean", 16, None),
    "roberta": ("mean", 16, None),
    "gpt2": ("mean", 16, ["h.0", "h.1"]),
    "t5": ("mean", 16, ["block.0", "block.1"]),
    "deberta_v2": ("mean", 16, None),
    "modernbert": ("mean", 16, None),
    "wav2vec2": ("mean", 16, ["encoder.layers.0", "encoder.layers.1"]),
    "wav2vec2_stable": ("mean", 16, ["encoder.layers.0", "encoder.layers.1"]),
    "ast": ("pooler", 16, None),
    "whisper": ("mean", 16, ["layers.0", "layers.1"]),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_opens(family: str, tiny: Callable[[str], Path]) -> None:
    backbone = opened(tiny(family))
    pooling, width, blocks = EXPECTED[family]
    assert backbone.card.modality == FAMILIES[family][0]
    assert (backbone.pooling, backbone.width) == (pooling, width)
    last = [next(reversed(s.modules)) for s in backbone.stages if s.name.startswith("block.")]
    if blocks is not None:
        assert last == blocks
    decoded = examples(backbone.card.modality)
    together = embedded(backbone, decoded)
    alone = torch.cat([embedded(backbone, [example]) for example in decoded])
    # 50 random layers of batch norm amplify rounding; the real MobileNets give 0.
    assert far(together, alone) < (1e-4 if "mobilenet" in family else 1e-5)
    assert float(together.std(0).max()) > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_stages_are_in_forward_order(family: str, tiny: Callable[[str], Path]) -> None:
    """Disturb one stage: what earlier blocks give must not change, what it feeds must."""
    backbone = opened(tiny(family))
    listed = [name for stage in backbone.stages for name in stage.parameters]
    assert sorted(listed) == sorted(name for name, _ in backbone.module.named_parameters())
    batch = backbone.preprocess(examples(backbone.card.modality)[:2])
    before = outputs_of_blocks(backbone, batch)
    parameters = dict(backbone.module.named_parameters())
    chosen = [s for s in backbone.stages if s.parameters]
    for stage in [*chosen[:4], *chosen[-2:]]:
        generator = torch.Generator().manual_seed(0)
        kept = {name: parameters[name].detach().clone() for name in stage.parameters}
        with torch.no_grad():
            for name in stage.parameters:
                noise = torch.randn(kept[name].shape, generator=generator)
                parameters[name].add_(noise * 0.5)
        after = outputs_of_blocks(backbone, batch)
        with torch.no_grad():
            for name, value in kept.items():
                parameters[name].copy_(value)
        first = {"stem": 0, "norm": len(before) - 1}.get(stage.name)
        first = int(stage.name.partition(".")[2]) if first is None else first
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            same = torch.equal(old, new)
            assert same == (k < first), f"{family}: {stage.name} disturbed, output {k}"


def outputs_of_blocks(backbone: TransformersBackbone, batch: Any) -> list[torch.Tensor]:
    """What each block gives, and at the end the embedding."""
    modules = dict(backbone.module.named_modules())
    seen: list[torch.Tensor] = []

    def hook(_: Any, __: Any, output: Any) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output).clone())

    # A block that owns the reduction before it (ConvNeXt, Swin) lists it first.
    tops = [s.modules[-1] for s in backbone.stages if s.name.startswith("block.")]
    hooks = [modules[name].register_forward_hook(hook) for name in tops]
    # All of one length: wav2vec 2.0 would run once a length.
    batch = {name: value[:1] for name, value in batch.items()}
    with torch.no_grad():
        found = backbone.embed(batch)
    for handle in hooks:
        handle.remove()
    return [*seen, found]


@pytest.mark.parametrize("family", ["bert", "gpt2", "deberta_v2", "roberta"])
def test_text_is_the_mean_of_its_own_tokens(family: str, tiny: Callable[[str], Path]) -> None:
    """By hand: each text alone, without padding, mean over its tokens."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(tiny(family)).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny(family))
    texts = [text for text in examples("text") if text]
    rows = []
    for text in texts:
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        rows.append(sum(hidden) / len(hidden))
    assert far(embedded(opened(tiny(family)), texts), torch.stack(rows)) < 1e-5


def test_t5_is_its_encoder(tiny: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer, T5EncoderModel

    model = T5EncoderModel.from_pretrained(tiny("t5")).eval()
    ids = AutoTokenizer.from_pretrained(tiny("t5"))("a dull film", return_tensors="pt").input_ids
    with torch.no_grad():
        wanted = model(input_ids=ids).last_hidden_state.mean(1)
    assert far(embedded(opened(tiny("t5")), ["a dull film"]), wanted) < 1e-5


def test_vit_is_its_class_token_and_its_untrained_pooler_is_gone(
    tiny: Callable[[str], Path],
) -> None:
    from transformers import ViTModel

    images = examples("image")
    backbone = opened(tiny("vit"))
    model = ViTModel.from_pretrained(tiny("vit"), add_pooling_layer=False).eval()
    with torch.no_grad():
        wanted = model(**backbone.preprocess(images)).last_hidden_state[:, 0]
    assert far(embedded(backbone, images), wanted) < 1e-6
    assert not [name for name, _ in backbone.module.named_parameters() if "pooler" in name]


def test_image_values_are_the_processors(tiny: Callable[[str], Path]) -> None:
    """32 x 32 needs no resize: (x / 255 - 0.5) / 0.5, channels first."""
    image = examples("image")[1]
    batch = opened(tiny("vit")).preprocess([image])
    wanted = torch.tensor(np.asarray(image), dtype=torch.float32).permute(2, 0, 1) / 127.5 - 1
    assert far(batch["pixel_values"][0], wanted) < 1e-5


def test_clip_is_its_vision_tower(tiny: Callable[[str], Path]) -> None:
    from transformers import CLIPVisionModel

    images = examples("image")
    backbone = opened(tiny("clip"))
    model = CLIPVisionModel.from_pretrained(tiny("clip")).eval()
    with torch.no_grad():
        wanted = model(**backbone.preprocess(images)).pooler_output
    assert far(embedded(backbone, images), wanted) < 1e-6


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2_stable"])
def test_wav2vec2_ignores_padding(family: str, tiny: Callable[[str], Path]) -> None:
    """By hand: each clip alone, standardised, no mask, mean over all of its steps."""
    from transformers import Wav2Vec2Model

    model = Wav2Vec2Model.from_pretrained(tiny(family)).eval()
    waves = [wave for wave in examples("audio") if len(wave) > 1600]
    rows = []
    for wave in waves:
        values = torch.tensor((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]
        with torch.no_grad():
            rows.append(model(values).last_hidden_state.mean(1)[0])
    assert far(embedded(opened(tiny(family)), waves), torch.stack(rows)) < 1e-4


def test_whisper_means_over_what_was_said(tiny: Callable[[str], Path]) -> None:
    """Half a second of a second: the first half of the encoder's 50 steps counts."""
    from transformers import WhisperModel

    wave = examples("audio")[1][:8000]
    backbone = opened(tiny("whisper"))
    model = WhisperModel.from_pretrained(tiny("whisper")).eval()
    features = backbone.preprocess([wave])["input_features"]
    with torch.no_grad():
        hidden = model.get_encoder()(features).last_hidden_state
    assert hidden.shape[1] == 50
    assert far(embedded(backbone, [wave]), hidden[:, :25].mean(1)) < 1e-5


def test_sentence_transformers_settings_are_kept(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny("bert"), tmp_path / "sbert")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    backbone = opened(folder)
    batch = backbone.preprocess(["a film and a film and a film and a film"])
    assert batch["input_ids"].shape == (1, 7)
    assert backbone.pooling == "cls"
    with torch.no_grad():
        wanted = backbone.module(**batch).last_hidden_state[:, 0]
    assert far(embedded(backbone, ["a film and a film and a film and a film"]), wanted) == 0
    backbone.save(tmp_path / "saved")
    again = opened(tmp_path / "saved")
    assert again.pooling == "cls"
    assert again.preprocess(["a film " * 20])["input_ids"].shape == (1, 7)


def test_long_texts_are_cut_at_what_the_model_can_take(tiny: Callable[[str], Path]) -> None:
    long = "a good film " * 400
    assert opened(tiny("bert")).preprocess([long])["input_ids"].shape == (1, 64)
    # RoBERTa's 64 positions start behind its padding index, 1.
    assert opened(tiny("roberta")).preprocess([long])["input_ids"].shape == (1, 62)
    assert opened(tiny("t5")).preprocess([long])["input_ids"].shape == (1, 512)
    assert bool(embedded(opened(tiny("roberta")), [long]).isfinite().all())


def test_half_precision_on_disk_is_float32_in_memory(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny("resnet"), tmp_path / "half")
    weights = load_file(folder / "model.safetensors")
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    save_file(half, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    backbone = opened(folder)
    assert {p.dtype for p in backbone.module.parameters()} == {torch.float32}
    assert {p.dtype for p in backbone.reinitialised(0).module.parameters()} == {torch.float32}
    assert (
        0
        < far(
            embedded(backbone, examples("image")),
            embedded(opened(tiny("resnet")), examples("image")),
        )
        < 0.02
    )


def test_batch_norm_remembers(tiny: Callable[[str], Path]) -> None:
    """One training step moves running means by a tenth of the way, not by all of it."""
    for backbone in (opened(tiny("mobilenet_v2")), opened(tiny("mobilenet_v2")).reinitialised(0)):
        norm = next(m for m in backbone.module.modules() if isinstance(m, torch.nn.BatchNorm2d))
        before = norm.running_mean.clone()
        seen: list[torch.Tensor] = []
        norm.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].detach()))
        backbone.module.train()
        backbone.embed(backbone.preprocess(examples("image")))
        wanted = 0.9 * before + 0.1 * seen[0].mean((0, 2, 3))
        assert far(norm.running_mean, wanted) < 1e-5


def test_fingerprint_follows_content_not_place(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny("bert"), tmp_path / "moved")
    (folder / "README.md").write_text("read me")
    same = opened(tiny("bert")).fingerprint
    assert opened(folder).fingerprint == same
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**tokenizer, "model_max_length": 9}))
    assert opened(folder).fingerprint != same
    other = write_model(tmp_path / "other", "bert", seed=1)
    assert opened(other).fingerprint != same


def test_licence_and_readme_travel_with_a_saved_model(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny("bert"), tmp_path / "origin")
    (folder / "LICENSE").write_text("MIT License\n")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# a model\n")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    backbone = opened(folder)
    assert backbone.card.licence == "mit"
    for unchanged in (False, True):
        backbone.save(tmp_path / str(unchanged), unchanged=unchanged)
        names = {path.name for path in (tmp_path / str(unchanged)).iterdir()}
        assert {"LICENSE", "README.md", "config.json", "model.safetensors"} <= names
        assert "pytorch_model.bin" not in names
    assert opened(tmp_path / "True").fingerprint == backbone.fingerprint


def test_a_copied_module_can_be_saved(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """A training loop may work on a copy of the tower: what is saved is that copy."""
    import copy
    from dataclasses import replace

    backbone = opened(tiny("clip"))
    module = copy.deepcopy(backbone.module)
    with torch.no_grad():
        first = next(module.parameters())
        first.add_(torch.randn(first.shape, generator=torch.Generator().manual_seed(0)))
    trained = replace(backbone, module=module)
    trained.save(tmp_path / "saved")
    found = embedded(opened(tmp_path / "saved"), examples("image"))
    assert far(found, embedded(trained, examples("image"))) == 0
    assert far(found, embedded(backbone, examples("image"))) > 1e-3


def test_opening_is_quiet_and_leaves_no_trace(
    tiny: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    tiny("bert"), tiny("vit")
    capfd.readouterr()
    verbosity, state = logging.get_verbosity(), torch.get_rng_state()
    bars = logging.is_progress_bar_enabled()
    for family in ("bert", "vit"):
        embedded(opened(tiny(family)), examples(FAMILIES[family][0]))
    with pytest.raises(ModelError):
        opened(tiny("bert") / "nowhere")
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == verbosity
    assert logging.is_progress_bar_enabled() == bars
    assert bool((torch.get_rng_state() == state).all())


def edit_config(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def only_pickle(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def only_evil_pickle(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (folder / "pwned",))

    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def drop_tensors(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names] and None


def huge_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")


def escaping_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "../other/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
REFUSALS: dict[str, tuple[Callable[[Path], Any], type[ModelError], str]] = {
    "no folder": (shutil.rmtree, ModelNotFound, "does not exist"),
    "no config": (remove("config.json"), ModelError, "has no config.json.*model.safetensors"),
    "config is no JSON": (
        lambda f: (f / "config.json").write_text("{"),
        ModelError,
        "config.json cannot be read as JSON",
    ),
    "config is a list": (
        lambda f: (f / "config.json").write_text("[]"),
        ModelError,
        "should hold a JSON object, got list",
    ),
    "config is binary": (
        lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"),
        ModelError,
        "config.json cannot be read",
    ),
    "no weights": (remove("model.safetensors"), ModelError, "has no weights.*there is config.json"),
    "truncated": (cut_weights, ModelError, "truncated or corrupt: .* bytes"),
    "empty weights": (
        lambda f: (f / "model.safetensors").write_bytes(b""),
        ModelError,
        "corrupt: it is empty",
    ),
    "huge header": (huge_header, ModelError, "corrupt: no valid safetensors header"),
    "pickle only": (only_pickle, UnsafeWeights, "pytorch_model.bin.*--allow-pickle"),
    "odd pickle": (
        lambda f: (f / "model.safetensors").rename(f / "weights.pth"),
        UnsafeWeights,
        "weights.pth",
    ),
    "own code": (
        lambda f: edit_config(f, auto_map={"AutoModel": "modeling.Evil"}),
        UnsafeWeights,
        "never runs code from a model folder",
    ),
    "own tokenizer code": (
        lambda f: (f / "tokenizer_config.json").write_text(
            '{"auto_map": {"AutoTokenizer": "a.B"}}'
        ),
        UnsafeWeights,
        "'auto_map' in tokenizer_config.json",
    ),
    "unknown type": (lambda f: edit_config(f, model_type="wobble"), ModelError, "'wobble'"),
    "no type": (lambda f: edit_config(f, model_type=None), ModelError, "no 'model_type'"),
    "config of another size": (
        lambda f: edit_config(f, hidden_size=24),
        ModelError,
        r"do not fit config.json: .* has shape \(.*16.*\), expected \(.*24.*\)",
    ),
    "config of more layers": (
        lambda f: edit_config(f, num_hidden_layers=3),
        ModelError,
        "lack 16 of .* tensors of its config, for instance encoder.layer.2",
    ),
    "tensors missing": (drop_tensors, ModelError, "lack 16 of"),
    "impossible config": (
        lambda f: edit_config(f, hidden_size="wide"),
        ModelError,
        r"config\.json: .*'hidden_size': .*wide",
    ),
    "no tokenizer": (remove(*TOKENIZER), ModelError, "no usable tokenizer"),
    "shard outside": (escaping_index, UnsafeWeights, "outside its own folder"),
    "shard missing": (missing_shard, ModelError, "lacks the weight file model-00001-of-00002"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_one_clear_line(
    case: str, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    spoil, kind, words = REFUSALS[case]
    folder = shutil.copytree(tiny("bert"), tmp_path / "model")
    spoil(folder)
    with pytest.raises(ModelError, match=words) as caught:
        opened(folder)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message and "model" in message and len(message) < 700


def test_missing_image_processor_is_named(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny("vit"), tmp_path / "model")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="no usable image processor") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_preprocessing_of_another_modality_is_told(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny("wav2vec2"), tmp_path / "model")
    write_image_processor(folder)
    with pytest.raises(ModelError, match="is for image, its model for audio"):
        opened(folder)


def test_models_of_two_inputs_are_refused(tmp_path: Path) -> None:
    from transformers import VideoMAEConfig, VideoMAEModel, VisualBertConfig, VisualBertModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    small |= {"intermediate_size": 16}
    visual = VisualBertModel(VisualBertConfig(**small, vocab_size=40, visual_embedding_dim=8))
    visual.save_pretrained(tmp_path / "visual")
    with pytest.raises(ModelError, match="takes image and text"):
        opened(tmp_path / "visual")
    video = VideoMAEModel(
        VideoMAEConfig(**small, image_size=16, patch_size=8, num_frames=2, decoder_hidden_size=8)
    )
    video.save_pretrained(tmp_path / "video")
    with pytest.raises(ModelError, match="takes video"):
        opened(tmp_path / "video")


def test_pickled_weights_when_asked_for(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny("bert"), tmp_path / "model")
    only_pickle(folder)
    backbone = opened(folder, allow_pickle=True)
    texts = examples("text")
    assert far(embedded(backbone, texts), embedded(opened(tiny("bert")), texts)) == 0
    backbone.save(tmp_path / "saved", unchanged=True)  # what Headstart writes holds no pickle
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    assert not (tmp_path / "saved" / "pytorch_model.bin").exists()


def test_a_pickle_that_runs_code_is_refused_even_then(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny("bert"), tmp_path / "model")
    only_evil_pickle(folder)
    with pytest.raises(ModelError):
        opened(folder, allow_pickle=True)
    assert not (folder / "pwned").exists()


@pytest.mark.shared
def test_mobilenet_matches_transformers_own_classifier(shared: Path) -> None:
    """Embedding times the published classifier gives the published logits."""
    from transformers import AutoModelForImageClassification

    folder = shared / "models" / "mobilenet_v2_100_224"
    backbone = opened(folder)
    images = examples("image")
    model = AutoModelForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = model(**backbone.preprocess(images)).logits
        found = model.classifier(embedded(backbone, images))
    assert far(found, wanted) < 1e-4
    assert backbone.card.licence == "apache-2.0"
    assert backbone.card.labels[0].startswith(("background", "tench"))
    assert backbone.spec.size == 256


@pytest.mark.shared
def test_yamnet_folder_opens(shared: Path) -> None:
    backbone = opened(shared / "models" / "yamnet")
    assert (backbone.card.modality, backbone.width) == ("audio", 1024)
    assert backbone.spec.sampling_rate == 16000
    waves = examples("audio")
    alone = torch.cat([embedded(backbone, [wave]) for wave in waves])
    assert far(embedded(backbone, waves), alone) < 1e-5


@pytest.mark.shared
def test_a_model_without_a_tokenizer_says_so(shared: Path) -> None:
    with pytest.raises(ModelError, match="no usable tokenizer"):
        opened(shared / "models" / "stories260k")
    with pytest.raises(ModelError, match=r"has no config\.json"):
        opened(shared / "models" / "squeezenet1_1")
