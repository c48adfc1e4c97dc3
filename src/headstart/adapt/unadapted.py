"""The source model as it came: its own head, where it knows all the classes by name already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.adapt.adapted import Adapted
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.heads import Linear
from headstart.adapt.method import Context, Trained
from headstart.compute.budget import Stopwatch
from headstart.errors import ModelError


def plain(label: str) -> str:
    """Return a label as it is compared: case, hyphens and underscores make no difference.

    >>> plain("T-Shirt"), plain("polar_bear ")
    ('t shirt', 'polar bear')
    """
    return " ".join(label.casefold().replace("_", " ").replace("-", " ").split())


def matched(labels: tuple[str, ...], source: tuple[str, ...]) -> list[int] | None:
    """Return the source class (k,) of each label; None unless each has exactly one of its own.

    A source class may have several names, parted by commas, as those of ImageNet have.

    >>> matched(("cat", "Tabby_Cat"), ("tabby cat, tiger cat", "dog", "cat"))
    [2, 0]
    """
    names: dict[str, list[int]] = {}
    for at, written in enumerate(source):
        for name in {plain(written), *(plain(part) for part in written.split(","))}:
            names.setdefault(name, []).append(at)
    found = [names.get(plain(label), []) for label in labels]
    picked = [classes[0] for classes in found if len(classes) == 1]
    return picked if len(picked) == len(labels) == len(set(picked)) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unadapted:
    """The pretrained model with its own head, asked about the classes that it shares with the data.

    It learns nothing here: its answers are its source classes', renormalised over the task's.
    """

    name = "unadapted"
    uses_model = True
    trains = False

    def knows(self, context: Context) -> bool:
        """Say whether the model of the context may have these classes: by their names."""
        if context.source is None or context.data.task.name != "classification":
            return False
        return matched(context.data.task.labels, context.source.backbone.card.labels) is not None

    def adapt(self, context: Context) -> Trained:
        """Return the model as it came. Raises ModelError where its head cannot answer."""
        task = context.data.task
        if context.source is None:
            raise ValueError("Unadapted needs a backbone in the context.")
        watch = Stopwatch()
        with watch.time("extract"):
            features = context.source.features(context.data.inputs, progress=context.progress)
        with watch.time("fit"):
            head = self._head(context.source, task.labels)
        size = (context.source.backbone.card.parameters or 0) + head.weights.size + head.bias.size
        rows = np.arange(len(context.data))  # it trained on none of them
        if context.folds is not None and context.folds.apart is not None:
            rows = rows[context.folds.of == context.folds.apart]
        return Trained(
            adapted=Adapted(
                f"{self.name}: {context.source.title}", self.name, context.data.inputs.modality,
                task, context.source, head,
            ),
            rows=rows,
            outputs=head.outputs(features[rows]),
            seconds=watch.seconds,
            parameters={"total": size, "trained": 0},
            details=context.source.facts(),
        )  # fmt: skip

    def _head(self, source: BackboneFeaturiser, labels: tuple[str, ...]) -> Linear:
        from headstart.sources.head import source_head

        names = source.backbone.card.labels
        picked, found = matched(labels, names), source_head(source.backbone)
        if picked is None or found is None or len(found.weights) != len(names):
            raise ModelError(
                f"{source.backbone.card.id} has no head that answers {', '.join(labels[:5])}."
            )
        weights = np.ascontiguousarray(found.weights[picked].T, dtype=np.float32)
        return Linear(weights, found.bias[picked].astype(np.float32))
