"""Make reference statistics: what a model's features look like on its own source data.

    python recipes/reference_statistics.py --data ../shared/data/imagenet_samples \
        --name "250 ImageNet-1k images" ../shared/models/mobilenet_v1_025_128 …

`headstart rank` measures how far a person's data lies from them. DATA is a folder or table of
source examples, of which 64 do at least; labels play no part. Give only models that were pretrained
on that data. Files go to references/ of Headstart's cache folder, or to --out; those of the models
in ../shared/models that saw ImageNet lie in src/headstart/ranking/references.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from headstart.compute.randomness import rng_for
from headstart.data.inputs import open_inputs
from headstart.features.extract import Extractor
from headstart.features.store import cache_folder
from headstart.ranking.reference import Reference
from headstart.sources import load


def make(models: Sequence[str], data: Path, name: str, out: Path, *, seed: int = 0) -> list[Path]:
    """Write one file a model into `out`; returns them. Raises HeadstartError for what fails."""
    written = []
    for model in models:
        backbone = load(model)
        inputs, _ = open_inputs([data], modality=backbone.card.modality)
        features = Extractor(backbone).table(inputs).features
        reference = Reference.of(features, name, rng=rng_for(seed, "reference halves"))
        path = out / f"{backbone.fingerprint}.safetensors"
        reference.save(path)
        written.append(path)
        print(f"{model}: {reference.count} examples, halves {reference.floor:.3f} apart -> {path}")
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True, help="source examples")
    parser.add_argument("--name", required=True, help="what the examples are, in a few words")
    parser.add_argument("--out", type=Path, default=cache_folder() / "references")
    options = parser.parse_args()
    make(options.models, options.data, options.name, options.out)


if __name__ == "__main__":
    main()
