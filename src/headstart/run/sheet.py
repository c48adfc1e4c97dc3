"""What `headstart augment` shows: examples of a person's data beside their augmented forms."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart import __version__
from headstart.compute.randomness import rng_for
from headstart.data.augment import Chain, parse, registered
from headstart.data.augment.spec import settings, written
from headstart.data.dataset import Item
from headstart.data.load import gather
from headstart.data.modality import InputSpec, modality
from headstart.data.raw import ALL, Options
from headstart.errors import DataError, Unreadable, UsageError
from headstart.report.page import write_whole
from headstart.report.sheet import Sheet, SheetRow, render, text_row

PICTURE = 320  # px: shorter side that pictures are decoded to
TILE = 160  # px, in a PNG
MARGIN = 8
RATE = 16000  # Hz
SUFFIXES = (".html", ".htm", ".png")
WAVE_NOTE = (
    "SpecAugment works on what a model is given. Here it is shown and played as it is done to a "
    "waveform; a model that takes spectrograms gets masks of the same kind there."
)
CUT_NOTE = "Spectrograms and sounds are of the first 3 s."


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Training examples as they lie in the data, with the chain that will change them."""

    name: str
    items: Sequence[Item]
    ids: Sequence[str]
    chain: Chain


def open_examples(
    data: str,
    augment: str = "auto",
    *,
    input: str | None = None,
    target: str | None = None,
    kind: str | None = None,
    encoding: str = "utf-8",
    root: Path | None = None,
) -> Examples:
    """Open the training part of `data` and the augmentations that the spec `augment` names.

    Data that has no parts gives all of it; labels are not looked at. Models that the spec names
    are opened. Raises DataError, UsageError or ModelError.
    """
    if kind is not None:
        modality(kind)
    raw = gather(data, Options(input, target, None, kind, encoding, root))
    part = raw.parts.get("train") or raw.parts.get(ALL) or next(iter(raw.parts.values()))
    chain = parse(augment, raw.modality)
    if any(hasattr(one, "folders") for one in chain.augmentations):
        from headstart.sources.writers import equipped

        chain = equipped(chain)
    return Examples(raw.name, part.items, part.ids, chain)


def listed(kind: str) -> list[tuple[str, str]]:
    """Return (spec with every setting that has a default, what it does) for that modality."""
    found = []
    for name, one in sorted(registered().items()):
        if one.modality == kind:
            values = [f"{field.name}={_default(field)}" for field in settings(one)]
            found.append((":".join([name, *values]), _first_line(one).replace("`", "")))
    return found


def make_sheet(examples: Examples, *, count: int = 8, views: int = 4, seed: int = 0) -> Sheet:
    """Augment `count` random readable examples `views` times. Raises DataError if none is."""
    chain, kind = examples.chain, examples.chain.modality
    rows: list[SheetRow] = []
    for id, decoded, changed in _views(examples, count, views, seed):
        if kind == "text":
            rows.append(text_row(id, decoded, changed))
        else:
            fragments = [_shown(kind, one) for one in (decoded, *changed)]
            rows.append(SheetRow(id, fragments[0], tuple(fragments[1:])))
    steps = tuple((one.name, _first_line(type(one)), _values(one)) for one in chain.augmentations)
    notes = [] if steps else ["There is no augmentation in this spec: every view is the original."]
    if kind == "audio":
        notes.append(CUT_NOTE)
        notes += (
            [WAVE_NOTE] if any(one.name == "specaugment" for one in chain.augmentations) else []
        )
    return Sheet(
        examples.name, kind, str(chain), seed, steps, tuple(notes), tuple(rows), __version__
    )


def write_sheet(
    examples: Examples, out: Path, *, count: int = 8, views: int = 4, seed: int = 0
) -> Path:
    """Write the sheet as one HTML page, or as a PNG of pictures or spectrograms; return its path.

    Raises UsageError for another suffix, and for texts as PNG.
    """
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"--out {out} must end in .html or .png.")
    if suffix == ".png":
        if examples.chain.modality not in ("image", "audio"):
            raise UsageError(f"--out {out}: texts are shown as .html only.")
        content = _png(examples, count, views, seed)
    else:
        content = render(make_sheet(examples, count=count, views=views, seed=seed))
    write_whole(content, out, "sheet")
    return out


def _views(
    examples: Examples, count: int, views: int, seed: int
) -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield (id, decoded example, augmented ones); examples that cannot be read are passed over."""
    chain, kind = examples.chain, modality(examples.chain.modality)
    order = rng_for(seed, "sheet").permutation(len(examples.items))
    reason, done = "", 0
    for row in map(int, order):
        if done == count:
            return
        try:
            decoded = kind.decode(examples.items[row], InputSpec(RATE, PICTURE))
        except Unreadable as error:
            reason = f" {examples.ids[row]}: {error}."
            continue
        done += 1
        generators = [rng_for(seed, f"sheet/{row}/{view}") for view in range(views)]
        yield examples.ids[row], decoded, [_changed(chain, decoded, rng) for rng in generators]
    if not done:
        raise DataError(f"No example of {examples.name} can be read.{reason}")


def _changed(chain: Chain, decoded: Any, rng: np.random.Generator) -> Any:
    changed = chain.example(decoded, rng=rng)
    if chain.modality != "audio":
        return changed
    batch = chain.batch({"input_values": changed[None]}, rng=rng)
    return np.clip(batch["input_values"][0], -1, 1)


def _shown(kind: str, decoded: Any) -> Markup:
    item = (decoded, RATE) if kind == "audio" else np.asarray(decoded)
    return Markup(modality(kind).show(item))  # escaped by the modality


def _png(examples: Examples, count: int, views: int, seed: int) -> bytes:
    """Draw a row for each example: the original, a wider gap, its views."""
    from PIL import Image

    kind = examples.chain.modality
    rows = [
        [_tile(kind, one) for one in (decoded, *changed)]
        for _, decoded, changed in _views(examples, count, views, seed)
    ]
    heights = [max(tile.height for tile in row) + MARGIN for row in rows]
    across = (1 + views) * (TILE + MARGIN) + 3 * MARGIN
    sheet = Image.new("RGB", (across, sum(heights) + MARGIN), (250, 250, 248))
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for x, tile in enumerate(row):
            left = MARGIN + x * (TILE + MARGIN) + (2 * MARGIN if x else 0)
            sheet.paste(tile, (left + (TILE - tile.width) // 2, top))
        top += height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _tile(kind: str, decoded: Any) -> Any:
    from PIL import Image

    if kind == "audio":
        from headstart.data.modality.audio import spectrogram

        return Image.open(io.BytesIO(spectrogram(decoded))).convert("RGB")
    tile = decoded.copy()
    tile.thumbnail((TILE, TILE))
    return tile


def _first_line(kind: Any) -> str:
    return str(kind.__doc__ or "").strip().splitlines()[0]


def _values(one: Any) -> str:
    pairs = [(field.name, getattr(one, field.name)) for field in settings(type(one))]
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in pairs)


def _default(field: Any) -> str:
    return "…" if field.default is MISSING else written(field.default)


__all__ = ["Examples", "listed", "make_sheet", "open_examples", "write_sheet"]
