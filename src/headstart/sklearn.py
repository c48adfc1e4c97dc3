"""The second door: frozen backbones and every method as scikit-learn estimators.

    from headstart.sklearn import Embed, TransferClassifier

    make_pipeline(Embed("starter:minilm"), LogisticRegression()).fit(texts, labels)
    TransferClassifier("path/to/model", method="finetune").fit(paths, labels).predict(more)

Nothing is done twice here: features come through the store, methods are those of `headstart.adapt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from headstart.errors import DataError, UsageError

if TYPE_CHECKING:
    from headstart.adapt import Method, Trained
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.data.dataset import Unlabelled
    from headstart.data.task import Task

OPEN = 4  # backbones that stay loaded


class Embed(TransformerMixin, BaseEstimator):
    """Examples to the features of a frozen backbone, through the feature store.

    `model`: id or folder, as for `headstart transfer --model`; None takes the starter of `modality`
    ("image", "text" or "audio"). X: paths, texts, image arrays or waveforms, or a data frame with
    one column. `transform` gives (n, width) float32.

    Raises a HeadstartError where the model cannot be had or an example cannot be read.
    """

    def __init__(self, model: str | None = None, *, modality: str | None = None) -> None:
        self.model = model
        self.modality = modality

    def fit(self, X: Any, y: Any = None) -> Embed:
        """Load the backbone; nothing is learned from X."""
        self.model_ = _named(self.model, self.modality)
        backbone = featuriser(self.model_).backbone
        self.modality_, self.width_ = backbone.card.modality, backbone.width
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return features (n, width) float32."""
        check_is_fitted(self)
        source = featuriser(self.model_)
        return np.asarray(source.features(unlabelled(X, self.modality_)), dtype=np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return embedding0, embedding1, …"""
        check_is_fitted(self)
        return np.asarray([f"embedding{i}" for i in range(self.width_)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.no_validation = True  # X are paths and texts as well
        return tags


class _Transfer(BaseEstimator):
    """What classifier and regressor share."""

    def __init__(
        self,
        model: str | None = None,
        *,
        method: Any = "probe",
        modality: str | None = None,
        seconds: float = 600.0,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.method = method
        self.modality = modality
        self.seconds = seconds
        self.random_state = random_state

    def _adapted(self, X: Any, targets: np.ndarray, task: Task) -> None:
        """Run the method; sets `head_` alone where features are given, else `adapted_`."""
        from headstart.adapt import Context, plan, validation_rows
        from headstart.compute.machine import machine
        from headstart.compute.randomness import rng_for
        from headstart.data.dataset import Dataset

        machine()
        method = method_of(self.method)
        seed = int(check_random_state(self.random_state).randint(2**31)) if (
            self.random_state is not None
        ) else 0  # fmt: skip
        given = self.model is None and self.modality is None
        inputs = _rows(X) if given else unlabelled(X, self._modality())
        if len(inputs) != len(targets):
            raise DataError(f"{len(inputs)} readable inputs and {len(targets)} targets.")
        data = Dataset("data", inputs, targets, task)
        folds = plan(data, None, rng=rng_for(seed, "folds"))
        if given:
            if method.name != "probe":
                raise UsageError(
                    f"The method {method.name!r} needs a backbone; name one with model=."
                )
            self.head_ = method.fit(  # type: ignore[attr-defined]
                np.asarray(X, np.float32), targets, task, folds
            ).head
            return
        nothing = np.empty(0, np.int64)
        validation = validation_rows(data, None, seed) if method.trains else nothing
        source = featuriser(_named(self.model, self.modality))
        context = Context(data, folds, validation, seed, float(self.seconds), source)
        self.trained_: Trained = method.adapt(context)

    def _modality(self) -> str:
        name = _named(self.model, self.modality)
        return str(featuriser(name).backbone.card.modality)

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        if hasattr(self, "head_"):
            table = validate_data(self, X, reset=False, dtype=np.float64)
            found: np.ndarray = self.task_.kind.activate(self.head_.outputs(table))
            return found
        adapted = self.trained_.adapted
        return np.asarray(adapted.scores(unlabelled(X, adapted.modality)))

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Check a table of features as scikit-learn does; examples are checked when read."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        if self.model is None and self.modality is None:
            numeric = isinstance(self, RegressorMixin)
            checked: tuple[Any, Any] = validate_data(
                self, X, y, dtype=np.float32, multi_output=not numeric, y_numeric=numeric,
                ensure_min_samples=2,
            )  # fmt: skip
            return checked
        return X, y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class TransferClassifier(ClassifierMixin, _Transfer):
    """A method of Headstart as a classifier.

    `model`: id or folder of a backbone, or None: then the starter of `modality`, or, without that
    either, X is a table of features (n, d) itself. `method`: "probe", "finetune", "few-shot", or a
    method with settings, as `headstart.adapt.FineTune(epochs=2)`. `seconds`: what a training may
    take. y: labels (n,), or (n, k) of 0 and 1 for several labels an example.

    After `fit`: `classes_`, `task_`, and `trained_` (or `head_`, of a table of features).
    """

    def fit(self, X: Any, y: Any) -> TransferClassifier:
        """Adapt the model to X and y."""
        from headstart.data.task import Task

        X, y = self._checked(X, y)
        y = np.asarray(y)
        if type_of_target(y) == "multilabel-indicator":
            self.classes_ = np.arange(y.shape[1])
            self.task_ = Task.of("multi-label", tuple(map(str, self.classes_)))
            self._adapted(X, y.astype(np.int8), self.task_)
            return self
        if y.ndim == 2 and y.shape[1] == 1:
            import warnings

            from sklearn.exceptions import DataConversionWarning

            warnings.warn(
                "A column-vector y was passed when a 1d array was expected.",
                DataConversionWarning, stacklevel=2,
            )  # fmt: skip
            y = y[:, 0]
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs 2 classes at least, got one class: "
                f"{self.classes_[0]!r}."
            )
        self.task_ = Task.of("classification", tuple(map(str, self.classes_)))
        self._adapted(X, targets.astype(np.int64), self.task_)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities (n, k), columns in the order of `classes_`."""
        return self._scores(X)

    def predict(self, X: Any) -> np.ndarray:
        """Return labels (n,); for several labels an example (n, k) of 0 and 1."""
        scores = self._scores(X)
        if self.task_.name == "multi-label":
            return (scores >= 0.5).astype(np.int64)
        found: np.ndarray = self.classes_[scores.argmax(axis=1)]
        return found


class TransferRegressor(RegressorMixin, _Transfer):
    """A method of Headstart as a regressor; settings as of the classifier. y: (n,) numbers."""

    def fit(self, X: Any, y: Any) -> TransferRegressor:
        """Adapt the model to X and y."""
        from headstart.data.task import Task

        X, y = self._checked(X, y)
        self.task_ = Task.of("regression", ("y",))
        self._adapted(X, np.asarray(y, np.float64), self.task_)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n,)."""
        return self._scores(X)


def method_of(method: Any) -> Method:
    """Return a method by its name, or the method itself. Raises UsageError."""
    from headstart.adapt import BUILTIN
    from headstart.plugins import named

    return named("method", BUILTIN, method) if isinstance(method, str) else method


@lru_cache(maxsize=OPEN)
def featuriser(model: str) -> BackboneFeaturiser:
    """Return the features of a backbone, which stays loaded: clones and folds share it."""
    from headstart.adapt.featurisers import BackboneFeaturiser
    from headstart.compute.machine import machine
    from headstart.sources import load

    machine()
    return BackboneFeaturiser(load(model))


def _named(model: str | None, modality: str | None) -> str:
    if model is not None:
        return model
    if modality is None:
        raise UsageError('Name a backbone with model=, or its modality: modality="text".')
    from headstart.sources import default_for

    default = default_for(modality)
    if default is None:
        raise UsageError(f"There is no starter for {modality}; name a backbone with model=.")
    return default


def unlabelled(X: Any, modality: str) -> Unlabelled:
    """Return X as examples of a modality, one for each row; a bad one is an error here.

    Raises DataError that names the first example that cannot be read.
    """
    from headstart.data.inputs import open_inputs

    if hasattr(X, "columns") and hasattr(X, "iloc"):
        if X.shape[1] != 1:
            raise DataError(f"X has {X.shape[1]} columns; one column of {modality} is needed.")
        X = X.iloc[:, 0]
    cells = X if isinstance(X, (np.ndarray, Sequence)) and not isinstance(X, str) else list(X)
    if isinstance(cells, np.ndarray) and cells.ndim == 2 and cells.shape[1] == 1:
        cells = cells[:, 0]
    cells = [str(c) if isinstance(c, np.str_) else c for c in cells]
    found, bad = open_inputs(cells, modality=modality)
    if bad:
        raise DataError(f"{bad[0].id} cannot be read: {bad[0].reason}. Leave such examples out.")
    if len(found) != len(cells):
        raise DataError(
            f"{len(cells)} rows of X hold {len(found)} examples; name files, one a row."
        )
    return found


def _rows(X: np.ndarray) -> Unlabelled:
    """Return rows of a table of features as examples that nothing will decode."""
    from headstart.data.dataset import Unlabelled

    table = np.ascontiguousarray(X)
    digests = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in table]
    found = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    return Unlabelled("features", list(table), [f"row {i + 1}" for i in range(len(table))], found)
