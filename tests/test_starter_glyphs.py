"""The embedded default: loads like any folder, never saw a digit, and helps with digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import headstart

FOLDER = Path(headstart.__file__).parent / "sources/starters/glyphs"


@pytest.fixture(scope="module")
def loaded():
    """Return (processor, body) as the Auto classes load them from the package's folder."""
    from transformers import AutoImageProcessor, AutoModel

    from headstart.sources.architectures import glyphs

    glyphs.register()
    return AutoImageProcessor.from_pretrained(FOLDER), AutoModel.from_pretrained(FOLDER).eval()


def embed(loaded, images) -> np.ndarray:
    import torch

    processor, model = loaded
    with torch.no_grad():
        return model(**processor(images=list(images), return_tensors="pt")).pooler_output.numpy()


def test_registering_twice_changes_nothing():
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    from headstart.sources.architectures import glyphs

    glyphs.register()
    glyphs.register()
    assert isinstance(AutoConfig.from_pretrained(FOLDER), glyphs.GlyphsConfig)
    assert isinstance(AutoModel.from_pretrained(FOLDER), glyphs.GlyphsModel)
    whole = AutoModelForImageClassification.from_pretrained(FOLDER)
    assert isinstance(whole, glyphs.GlyphsForImageClassification)


def test_the_package_holds_a_small_complete_folder():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.is_file()}
    assert {"config.json", "preprocessor_config.json", "README.md"} <= set(files)
    assert files["model.safetensors"] <= 4_000_000
    words = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "Apache-2.0" in words and "DejaVu" in words and "STIX" in words


def test_labels_are_letters_and_no_digit():
    labels = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))["id2label"].values()
    assert len(set(labels)) == 52
    assert all(len(label) == 1 and label.isascii() and label.isalpha() for label in labels)


def test_shapes_types_and_stages(loaded):
    import torch

    _, model = loaded
    assert all(value.dtype == torch.float32 for value in model.parameters())
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        out = model(pixels, output_hidden_states=True)
        grey = model(pixels.mean(1, keepdim=True))
    assert out.pooler_output.shape == (2, model.config.hidden_size)
    assert len(out.hidden_states) == 1 + len(model.layer)
    torch.testing.assert_close(out.pooler_output, grey.pooler_output)


def test_saving_and_loading_gives_equal_outputs(loaded, tmp_path: Path):
    import torch
    from transformers import AutoModel

    _, model = loaded
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            model(pixels).pooler_output, again(pixels).pooler_output, rtol=0, atol=0
        )


def test_it_reads_letters_of_a_font(loaded):
    """The head tells plain upright capitals, drawn here in another way than in the recipe."""
    import torch
    from PIL import Image, ImageDraw, ImageFont
    from transformers import AutoModelForImageClassification

    processor, _ = loaded
    model = AutoModelForImageClassification.from_pretrained(FOLDER).eval()
    font = ImageFont.load_default(36)  # Aileron, which Pillow carries: not among the recipe's fonts
    letters, pages = "ABEFGHKLMNRT", []
    for letter in letters:
        page = Image.new("RGB", (48, 48), "white")
        ImageDraw.Draw(page).text((24, 24), letter, font=font, anchor="mm", fill="black")
        pages.append(page)
    with torch.no_grad():
        rows = model(**processor(images=pages, return_tensors="pt")).logits.argmax(1).tolist()
    read = "".join(model.config.id2label[row].upper() for row in rows)
    assert sum(a == b for a, b in zip(read, letters, strict=True)) >= 10, read


def test_ten_labels_a_class_beat_pixels_on_handwritten_digits(loaded):
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, target = load_digits().images[:900], load_digits().target[:900]
    pictures = np.round(images * (255 / 16)).astype(np.uint8)
    pixels = images.reshape(len(images), -1) / 16
    features = embed(loaded, [Image.fromarray(picture).convert("RGB") for picture in pictures])
    scores = []
    for seed in range(3):
        rng = np.random.default_rng(100 + seed)
        picked = [rng.choice(np.flatnonzero(target == k), 10, False) for k in range(10)]
        train = np.concatenate(picked)
        test = np.setdiff1d(np.arange(len(target)), train)
        for inputs in (features, pixels):
            model = LogisticRegression(max_iter=500).fit(inputs[train], target[train])
            scores.append(model.score(inputs[test], target[test]))
    on_features, on_pixels = np.mean(scores[::2]), np.mean(scores[1::2])
    assert on_features >= 0.93
    assert on_features - on_pixels >= 0.02
