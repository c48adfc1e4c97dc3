"""Task similarity: how near the target's label names are to those that a model was trained on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

Embed = Callable[[Sequence[str]], np.ndarray]  # texts to embeddings (n, d)

MEANING, WORDS = "cosine of MiniLM", "word overlap"


def task_similarity(
    target: Sequence[str], source: Sequence[str], embed: Embed | None
) -> float | None:
    """Return the mean over target labels of the similarity to the nearest source label.

    With `embed` the cosine of embeddings, range [-1, 1]; else the share of words in common
    (Jaccard's), range [0, 1]. None where one side has no names: labels that are numbers or single
    letters say nothing.

    >>> task_similarity(["wolf spider", "bee"], ["spider", "bee", "cab"], None)
    0.75
    """
    ours, theirs = named(target), named(source)
    if not ours or not theirs:
        return None
    if embed is None:
        bags = [words(name) for name in theirs]
        return float(np.mean([max(_overlap(words(name), bag) for bag in bags) for name in ours]))
    found = embed([*ours, *theirs])
    unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    cosines = unit[: len(ours)] @ unit[len(ours) :].T
    return float(cosines.max(axis=1).mean())


def named(labels: Sequence[str]) -> list[str]:
    """Return the labels that have a word of two letters or more, made readable."""
    readable = [re.sub(r"[_\-/]+", " ", str(label)).strip() for label in labels]
    return [name for name in readable if re.search(r"[^\W\d_]{2,}", name)]


def words(name: str) -> frozenset[str]:
    """Return the words of a name in lower case, without a plural s.

    >>> sorted(words("Running shoes, sneakers"))
    ['running', 'shoe', 'sneaker']
    """
    found = re.findall(r"[^\W\d_]{2,}", name.lower())
    return frozenset(
        w[:-1] if len(w) > 3 and w.endswith("s") and w[-2] != "s" else w for w in found
    )


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0
