"""The second door: estimators that behave as scikit-learn's own, with nothing built twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from headstart.adapt import BUILTIN, FineTune, Probe
from headstart.errors import DataError, UsageError
from headstart.sklearn import Embed, TransferClassifier, TransferRegressor

GLYPHS = "starter:glyphs"


@parametrize_with_checks([TransferClassifier(random_state=0), TransferRegressor(random_state=0)])
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    """On tables of features, where the inputs of these checks make sense."""
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits(n_class=4)
    return (found.images[:120] * 15.9).astype(np.uint8), found.target[:120]


def test_embed_stands_in_a_pipeline_and_gives_the_stored_features(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    images, labels = digits
    pipe = make_pipeline(Embed(GLYPHS), LogisticRegression(max_iter=500))
    assert cross_val_score(pipe, images, labels, cv=3).mean() > 0.9
    embed = Embed(GLYPHS).fit(images)
    features = embed.transform(images)
    assert features.shape == (120, embed.width_) and features.dtype == np.float32
    assert len(embed.get_feature_names_out()) == embed.width_
    np.testing.assert_array_equal(features[:5], Embed(modality="image").fit_transform(images[:5]))


def test_the_classifier_is_the_probe_of_headstart(digits: tuple[np.ndarray, np.ndarray]) -> None:
    from headstart.adapt import Context, plan
    from headstart.compute.randomness import rng_for
    from headstart.data.dataset import Dataset
    from headstart.data.task import Task
    from headstart.sklearn import featuriser, unlabelled

    images, labels = digits
    model = TransferClassifier(GLYPHS).fit(images, labels)
    task = Task.of("classification", ("0", "1", "2", "3"))
    data = Dataset("data", unlabelled(images, "image"), labels.astype(np.int64), task)
    folds = plan(data, None, rng=rng_for(0, "folds"))
    context = Context(data, folds, np.empty(0, np.int64), 0, 1.0, featuriser(GLYPHS))
    expected = BUILTIN[0].adapt(context).adapted.scores(data.inputs)
    np.testing.assert_allclose(model.predict_proba(images), expected)
    assert model.score(images, labels) > 0.95
    assert clone(model).get_params() == model.get_params()


def test_searches_go_over_methods_and_their_settings(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    images, labels = digits
    grid = {"method": [Probe(strengths=(1e3,)), Probe()]}
    found = GridSearchCV(TransferClassifier(GLYPHS), grid, cv=2).fit(images, labels)
    assert found.best_params_["method"] == Probe()
    settings = {"seconds": [1.0, 2.0, 3.0]}
    search = RandomizedSearchCV(
        TransferClassifier(GLYPHS), settings, n_iter=2, cv=2, random_state=0
    ).fit(images, labels)
    assert search.best_score_ > 0.8


def test_paths_frames_and_fine_tuning(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, labels = digits
    paths = [tmp_path / f"{i}.png" for i in range(60)]
    for path, image in zip(paths, images, strict=False):
        Image.fromarray(image).save(path)
    frame = pd.DataFrame({"file": [str(path) for path in paths]})
    names = np.asarray(["zero", "one", "two", "three"])[labels[:60]]
    model = TransferClassifier(GLYPHS, method=FineTune(epochs=1, batch=16), random_state=1)
    answers = model.fit(frame, names).predict(paths[:6])
    assert set(answers) <= set(names) and (answers == names[:6]).mean() > 0.6
    assert model.trained_.adapted.method == "finetune"


def test_regression_and_several_labels(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    fitted = TransferRegressor(GLYPHS).fit(images, labels.astype(float))
    assert fitted.score(images, labels) > 0.8
    several = np.stack([labels % 2, labels > 1], axis=1).astype(int)
    model = TransferClassifier(GLYPHS).fit(images, several)
    assert model.predict(images).shape == several.shape
    assert (model.predict(images) == several).mean() > 0.9
    assert model.predict_proba(images).shape == several.shape


def test_what_cannot_be_is_said(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    images, labels = digits
    with pytest.raises(UsageError, match="model="):
        Embed().fit(images)
    with pytest.raises(UsageError, match="needs a backbone"):
        TransferClassifier(method="finetune").fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(UsageError, match="probe"):
        TransferClassifier(GLYPHS, method="nothing").fit(images, labels)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        Embed(GLYPHS).fit_transform([tmp_path / "broken.png"])
