"""The probe against scikit-learn's cross-validated logistic regression on the same features.

Both learn from training and validation data; the test part is opened once, by this benchmark.
"""

from __future__ import annotations

import numpy as np

from bench.cases import Case, accuracy, cases
from bench.table import Row
from headstart.adapt import Context, plan
from headstart.adapt.baselines import Simple
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.adapt.probe import Probe
from headstart.compute.randomness import rng_for
from headstart.data.dataset import Dataset, joined
from headstart.data.split import holdout
from headstart.sources import load

NAME = "probe"
CLOSE = 0.01  # one point
DRAWS = 5


def run() -> list[Row]:
    rows = []
    for case in cases():
        found = measure(case)
        ours, theirs, simple = found["ours"], found["theirs"], found["simple"]
        rows.append(
            Row(
                what=f"{case.name}: test accuracy",
                ours=ours,
                theirs=theirs,
                ratio=ours / theirs,
                target=round((theirs - CLOSE) / theirs, 4),
                unit="",
                note=f"theirs: LogisticRegressionCV; the simple baseline has {simple:.4f}",
            )
        )
    return rows


def measure(case: Case, *, rival: bool = True) -> dict[str, float]:
    """Return test accuracies of the probe, of scikit-learn on its features, and of Simple.

    A set without a test part of its own is split DRAWS times, and the mean is taken: a single
    fifth of 300 clips would say more of the draw than of the method. `rival`: whether scikit-learn
    is asked too, which takes most of the time.
    """
    opened = case.open()
    splits = opened.splits
    truth = splits.test.targets.open()
    test = Dataset("test", splits.test.inputs, truth, splits.train.task)
    source = BackboneFeaturiser(load(case.model))
    if any("is held out" in said or "are held out" in said for said in opened.facts.said):
        everything = joined(splits.train, test)
        found = []
        for seed in range(DRAWS):
            inside, outside = holdout(everything.targets, test.task.labels, None, seed=seed)
            parts = everything.take(inside), everything.take(outside)
            found.append(_once(parts[0], None, parts[1], source, rival))
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    data, own = splits.train, None
    if splits.validation is not None:
        data = joined(splits.train, splits.validation)
        own = np.arange(len(splits.train), len(data))
    return _once(data, own, test, source, rival)


def _once(
    data: Dataset, own: np.ndarray | None, test: Dataset, source: BackboneFeaturiser, rival: bool
) -> dict[str, float]:
    folds = plan(data, own, rng=rng_for(0, "folds"))
    context = Context(data, folds, np.empty(0, np.int64), 0, 60.0, source)
    probe = Probe().adapt(context).adapted.scores(test.inputs)
    simple = Simple().adapt(context).adapted.scores(test.inputs)
    found = {"ours": accuracy(probe, test.targets), "simple": accuracy(simple, test.targets)}
    if rival:
        theirs = scikit_learn(
            np.asarray(source.features(data.inputs)), data.targets,
            np.asarray(source.features(test.inputs)),
        )  # fmt: skip
        found["theirs"] = accuracy(theirs, test.targets)
    return found


def scikit_learn(features: np.ndarray, targets: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return probabilities (n, k) of LogisticRegressionCV on standardised features."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-4, 1, 6), cv=5, max_iter=300)
    )
    found: np.ndarray = model.fit(features, targets).predict_proba(test)
    return found
