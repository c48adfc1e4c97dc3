"""Make the weights of `starter:glyphs` again, from seeds.

    python recipes/starter_glyphs.py [--out DIR] [--seed 0] [--steps 1600] [--check]

Source task: which Latin letter is this? Letters only (no digit is ever drawn), from the TrueType
fonts that matplotlib installs, changed in stroke, shape, resolution, polarity and noise. Half of
the batch is also mirrored or turned by quarters, and the letter together with its turn is to be
told: that makes 416 shapes of 52 letters. Only the letters' own rows of that head are kept.

Nothing is chosen by looking at digits: the number of steps is fixed, the last weights are kept,
and scikit-learn's digits come in once, in the table at the end.

Suffixes: N examples, H and W pixels.
"""

from __future__ import annotations

import argparse
import json
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from headstart.sources.architectures.glyphs import (
    GlyphsConfig,
    GlyphsForImageClassification,
    register,
)
from starter_glyphs_digits import accuracy_table

HERE = Path(__file__).resolve().parent
PACKAGED = HERE.parent / "src/headstart/sources/starters/glyphs"
LETTERS = tuple(string.ascii_letters)
CANVAS = 64  # px a side of a drawn letter
GLYPH = 44  # px, longer side of the letter on it
SIDE = 32  # px a side of what the network sees
TURNS = 8  # four quarters, mirrored or not
BATCH = 128

# Text faces; symbol and maths-display fonts have no plain letters.
FACES = (
    *(f"DejaVuSans{s}.ttf" for s in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{s}.ttf" for s in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{s}.ttf" for s in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{s}.ttf" for s in ("", "Bol", "Italic", "BolIta")),
    *(f"{s}10.ttf" for s in ("cmb", "cmmi", "cmr", "cmss", "cmti", "cmtt")),
)
# More letter shapes of one face, at Unicode's mathematical alphabets: A-Z, then a-z.
ALPHABETS = (0x1D49C, 0x1D4D0, 0x1D5A0, 0x1D608)  # script, bold script, sans, sans italic
ALPHABETS_FACE = "STIXGeneral.ttf"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Drawn letters: `ink` uint8 (m, variants, CANVAS, CANVAS), 255 is ink; `letter` (m,)."""

    ink: Tensor
    letter: Tensor


def draw_all() -> Glyphs:
    """Draw every letter in every face, in five strokes. Deterministic."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    folder = Path(get_data_path()) / "fonts/ttf"
    drawn, letters = [], []
    faces = [(name, 0) for name in FACES] + [(ALPHABETS_FACE, start) for start in ALPHABETS]
    for name, start in faces:
        font = ImageFont.truetype(folder / name, 128, layout_engine=ImageFont.Layout.BASIC)
        absent = bytes(font.getmask("\U0010fffd"))
        for number, letter in enumerate(LETTERS):
            capital = letter.isupper()
            offset = ord(letter.upper()) - ord("A") + (0 if capital else 26)
            text = chr(start + offset) if start else letter
            if bytes(font.getmask(text)) != absent:
                drawn.append(draw(font, text))
                letters.append(number)
    plain = np.stack(drawn)
    return Glyphs(torch.from_numpy(strokes(plain)), torch.tensor(letters))


def draw(font: Any, letter: str) -> np.ndarray:
    """Return one letter as uint8 (CANVAS, CANVAS), centred, its longer side GLYPH px."""
    from PIL import Image, ImageDraw

    sheet = Image.new("L", (384, 384), 0)
    ImageDraw.Draw(sheet).text((192, 240), letter, font=font, anchor="ms", fill=255)
    cut = sheet.crop(sheet.getbbox())
    scale = GLYPH / max(cut.size)
    cut = cut.resize(
        (max(3, round(cut.width * scale)), max(3, round(cut.height * scale))),
        Image.Resampling.BOX,
    )
    page = Image.new("L", (CANVAS, CANVAS), 0)
    page.paste(cut, ((CANVAS - cut.width) // 2, (CANVAS - cut.height) // 2))
    return np.asarray(page)


def strokes(plain_NHW: np.ndarray) -> np.ndarray:
    """Return five strokes of each letter: as drawn, bolder, and a thin, middle and broad pen."""
    ink = torch.from_numpy(plain_NHW).float()[:, None] / 255
    bones = torch.from_numpy(skeleton(plain_NHW > 127)).float()[:, None]

    def grow(picture: Tensor, width: int) -> Tensor:
        return functional.max_pool2d(picture, width, 1, width // 2)

    pens = [ink, grow(ink, 3), grow(bones, 3), grow(bones, 5), grow(bones, 7)]
    round_edges = [functional.avg_pool2d(pen, 3, 1, 1) for pen in pens]
    return np.asarray((torch.cat(round_edges, 1) * 255).round().to(torch.uint8))


def skeleton(ink_NHW: np.ndarray) -> np.ndarray:
    """Thin strokes to one pixel. Source: Zhang and Suen, CACM 27(3), 1984; all letters at once."""
    ink = np.pad(ink_NHW, ((0, 0), (1, 1), (1, 1))).astype(np.int8)
    while True:
        before = ink.sum()
        for first in (True, False):
            p = [
                np.roll(ink, shift, (1, 2))  # p2 … p9, clockwise from the north
                for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            ]
            count = sum(p)
            rises = sum(((p[k] == 0) & (p[(k + 1) % 8] == 1)).astype(np.int8) for k in range(8))
            north, east, south, west = p[0], p[2], p[4], p[6]
            if first:
                open_side = (north * east * south == 0) & (east * south * west == 0)
            else:
                open_side = (north * east * west == 0) & (north * south * west == 0)
            ink[(ink == 1) & (count >= 2) & (count <= 6) & (rises == 1) & open_side] = 0
        if ink.sum() == before:
            return ink[:, 1:-1, 1:-1]


def make_batch(glyphs: Glyphs, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pixel_values (n, 1, SIDE, SIDE) in [-1, 1] and labels letter * TURNS + turn."""
    pick = torch.randint(len(glyphs.letter), (BATCH,), generator=generator)
    pen = torch.randint(glyphs.ink.shape[1], (BATCH,), generator=generator)
    ink = glyphs.ink[pick, pen][:, None].float() / 255
    ink = functional.grid_sample(ink, bent_grid(generator), align_corners=False)
    turn = torch.randint(TURNS, (BATCH,), generator=generator)
    turn[: BATCH // 2] = 0
    turned = torch.stack([turn_by(ink, k) for k in range(TURNS)])
    ink = turned[turn, torch.arange(BATCH)]
    order = torch.randperm(BATCH, generator=generator)  # turned or not, at every resolution
    ink, labels = ink[order], (glyphs.letter[pick] * TURNS + turn)[order]
    return photographed(coarsened(ink, generator), generator), labels


def turn_by(picture: Tensor, turn: int) -> Tensor:
    """Return the picture turned by `turn` % 4 quarters, mirrored for turn >= 4."""
    mirrored = picture.flip(3) if turn >= 4 else picture
    return torch.rot90(mirrored, turn % 4, (2, 3))


def bent_grid(generator: torch.Generator) -> Tensor:
    """Return sampling places (n, SIDE, SIDE, 2): a random affine map and an elastic bend."""

    def spread(low: float, high: float) -> Tensor:
        return torch.rand(BATCH, generator=generator) * (high - low) + low

    angle = torch.deg2rad(spread(-20, 20))
    width, height = 1 / spread(0.75, 1.5), 1 / spread(0.95, 1.5)  # of the glyph's 0.69 of the side
    lean = spread(-0.35, 0.35)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        torch.stack([cos * width, (lean * cos - sin) * width, spread(-0.12, 0.12)], 1),
        torch.stack([sin * height, (lean * sin + cos) * height, spread(-0.12, 0.12)], 1),
    ]
    size = [BATCH, 1, SIDE, SIDE]
    grid = functional.affine_grid(torch.stack(rows, 1), size, align_corners=False)
    coarse = torch.randn(BATCH, 2, 4, 4, generator=generator) * spread(0, 0.16)[:, None, None, None]
    bend = functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1)


def coarsened(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Sample letters down to 8 … 32 px, by area, and up again; four resolutions a batch."""
    chunks = list(ink.chunk(4))
    sides = [8, *(int(torch.randint(8, SIDE + 1, (1,), generator=generator)) for _ in range(3))]
    for k, side in enumerate(sides):
        small = functional.interpolate(chunks[k], (side, side), mode="area")
        chunks[k] = functional.interpolate(small, (SIDE, SIDE), mode="bilinear")
    return torch.cat(chunks)


def photographed(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Return [-1, 1]: ink and paper of random grey, either one the brighter, and noise."""

    def draw(shape: tuple[int, ...] = (BATCH, 1, 1, 1)) -> Tensor:
        return torch.rand(shape, generator=generator)

    ink = ink ** torch.exp2(draw() * 1.6 - 0.8)  # faint edges or full ones
    dark, bright = draw() * 0.3, 1 - draw() * 0.4
    grey = dark + (bright - dark) * ink
    grey = torch.where(draw() < 0.5, grey, 1 - grey)
    noise = torch.randn(grey.shape, generator=generator) * (draw() * 0.08)
    return (grey + noise).clamp(0, 1) * 2 - 1


def train(seed: int, steps: int) -> GlyphsForImageClassification:
    """Train for exactly `steps` steps and return the last weights, with the letters' head."""
    torch.manual_seed(seed)  # initial weights and dropout
    generator = torch.Generator().manual_seed(seed + 1)
    names = dict(enumerate(LETTERS))
    config = GlyphsConfig(id2label=names, label2id={name: k for k, name in names.items()})
    model = GlyphsForImageClassification(config)
    head = nn.Linear(config.hidden_size, len(LETTERS) * TURNS)
    parameters = [*model.glyphs.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps, pct_start=0.15)
    glyphs = draw_all()
    model.train()
    model.to(memory_format=torch.channels_last)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        pixels, labels = make_batch(glyphs, generator)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        outputs = head(model.dropout(model.glyphs(pixels).pooler_output))
        loss = functional.cross_entropy(outputs, labels, label_smoothing=0.1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            right = (outputs.argmax(1) == labels).float().mean().item()
            seconds = time.perf_counter() - start
            print(
                f"step {step:5d}  loss {loss.item():.3f}  right {right:.3f}  {seconds:.0f} s",
                flush=True,
            )
    with torch.no_grad():
        model.classifier.weight.copy_(head.weight[::TURNS])
        model.classifier.bias.copy_(head.bias[::TURNS])
    return model.to(memory_format=torch.contiguous_format).eval()


PREPROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def save(model: GlyphsForImageClassification, folder: Path) -> None:
    """Write config, preprocessing and weights: float16, batch-norm statistics float32."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = ["GlyphsForImageClassification"]
    model.config.dtype = "float32"  # of the network once loaded
    model.config.save_pretrained(folder)
    text = json.dumps(PREPROCESSOR, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    weights = {
        name: (value.half() if value.is_floating_point() and "running" not in name else value)
        for name, value in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def readme(seed: int, steps: int, table: str) -> str:
    """Return README.md of the folder, from its template."""
    template = (HERE / "starter_glyphs_README.md").read_text(encoding="utf-8")
    return template.format(seed=seed, steps=steps, table=table, faces=len(FACES))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the weights of starter:glyphs from seeds.")
    parser.add_argument("--out", type=Path, default=PACKAGED, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--check", action="store_true", help="train nothing: only print the table")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    register()
    if not arguments.check:
        model = train(arguments.seed, arguments.steps)
        save(model, arguments.out)
    table = accuracy_table(arguments.out)
    if not arguments.check:
        page = readme(arguments.seed, arguments.steps, table.replace("\n", "\n    "))
        (arguments.out / "README.md").write_text(page, encoding="utf-8")
        print(f"wrote {arguments.out}")
    print(table)


if __name__ == "__main__":
    main()
