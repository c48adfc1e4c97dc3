"""The table at the end of the recipe: what `starter:glyphs` brings to handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LABELS_PER_CLASS = (1, 2, 5, 10, 20, 50)
DRAWS = 20


def accuracy_table(folder: Path) -> str:
    """Return mean test accuracy by labels a class, on features and on pixels; plain text."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    digits = load_digits()
    pictures = np.round(digits.images * (255 / 16)).astype(np.uint8)
    features = embed(folder, pictures)
    pixels = digits.data / 16

    def logistic() -> Any:
        return LogisticRegression(max_iter=2000)

    ways: list[tuple[str, np.ndarray, Callable[[], Any]]] = [
        ("logistic regression on features", features, logistic),
        ("logistic regression on pixels", pixels, logistic),
        ("RBF SVM on pixels", pixels, lambda: SVC(C=10, gamma="scale")),
    ]
    lines = [f"{'labels a class':32s}" + "".join(f"{n:8d}" for n in LABELS_PER_CLASS)]
    for name, inputs, make in ways:
        means = [few_shot(inputs, digits.target, make, labels) for labels in LABELS_PER_CLASS]
        lines.append(f"{name:32s}" + "".join(f"{mean:8.3f}" for mean in means))
    return "\n".join(lines)


def embed(folder: Path, pictures: np.ndarray) -> np.ndarray:
    """Return pooled features (n, d) of uint8 grey pictures (n, h, w), by the folder's processor."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    images = [Image.fromarray(picture).convert("RGB") for picture in pictures]
    batch = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return np.concatenate([model(part).pooler_output.numpy() for part in batch.split(256)])


def few_shot(
    inputs: np.ndarray, targets: np.ndarray, make: Callable[[], Any], labels: int
) -> float:
    """Return accuracy on all other digits, the mean of DRAWS draws of `labels` a class."""
    scores = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        drawn = [rng.choice(np.flatnonzero(targets == k), labels, False) for k in range(10)]
        train = np.concatenate(drawn)
        test = np.setdiff1d(np.arange(len(targets)), train)
        model = make().fit(inputs[train], targets[train])
        scores.append(model.score(inputs[test], targets[test]))
    return float(np.mean(scores))
