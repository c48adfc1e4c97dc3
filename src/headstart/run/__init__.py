"""The stages in order: one call from data to evidence, and what can be done with a RUN folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.run.use import Evaluation, Prediction, Run

if TYPE_CHECKING:
    from headstart.compute.progress import Progress


def transfer(
    data: Any,
    *,
    model: str | Sequence[str] | None = None,
    method: str = "auto",
    settings: Mapping[str, Any] | None = None,
    input: str | None = None,
    target: Any = None,
    test: Any = None,
    group: Any = None,
    task: str | None = None,
    modality: str | None = None,
    budget: str | float = "10m",
    seed: int = 0,
    out: str | Path | None = None,
    encoding: str = "utf-8",
    root: str | Path | None = None,
    allow_pickle: bool = False,
    auto_remedy: bool = False,
    prefer: str = "simpler",
    cv: int = 0,
    cv_repeats: int = 3,
    seeds: int = 1,
    label_curve: bool = False,
    track: str | Sequence[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Adapt pretrained models to `data`, hold them against baselines, and return the run.

    `data`: a path (folder, table) or Python objects (texts, paths, arrays; a DataFrame; a pair of
    inputs and targets). `model`: one or several ids; None takes the starter of the modality.
    `method`: "auto", "probe", "few-shot" or "finetune". `settings` of methods by dotted name, as
    {"finetune.epochs": 3, "probe.head": "svm"}. `test`: data for the sealed test part. `budget`:
    "90s", "10m" or seconds. `auto_remedy`: train once more where the curve of a training shows
    what is wrong. `prefer`: "simpler" hands over the simplest result that is as good as can be told
    on held-out examples, "best" the best there. `cv`: folds of a cross-validation of the training
    data, made anew `cv_repeats` times. `seeds`: how many seeds trained results are made with, to
    see how much that moves them. `label_curve`: how good fewer labels would be, and more.
    `track`: "tensorboard", "mlflow", "wandb" or several of them, written into RUN/tracking. `out`:
    the RUN folder, which must not exist yet.

    Raises a HeadstartError that says what is wrong, where, and what to do.
    """
    from headstart.compute.budget import seconds_of
    from headstart.compute.progress import silent
    from headstart.errors import UsageError
    from headstart.recipe import PYTHON_OBJECTS, DataRecipe, Recipe, settings_of
    from headstart.run.walk import start

    if not isinstance(seed, int) or seed < 0:
        raise UsageError(f"--seed must be a whole number >= 0, got {seed!r}.")
    _check_studies(prefer, cv, cv_repeats, seeds)
    from_disk = isinstance(data, str | Path)
    options = {"test": test, "target": target, "group": group}
    plain = {k: str(v) for k, v in options.items() if isinstance(v, str | Path)}
    recipe = Recipe(
        models=[model] if isinstance(model, str) else list(model or []),
        method=method,
        methods=settings_of(settings),
        budget=seconds_of(budget),
        seed=seed,
        allow_pickle=allow_pickle,
        auto_remedy=auto_remedy,
        prefer=prefer,  # type: ignore[arg-type]  # checked above
        cv=cv,
        cv_repeats=cv_repeats,
        seeds=seeds,
        label_curve=label_curve,
        track=[track] if isinstance(track, str) else list(track or []),
        data=DataRecipe(
            source=str(data) if from_disk else PYTHON_OBJECTS,
            input=input,
            task=task,
            modality=modality,
            encoding=encoding,
            root=str(root) if root is not None else None,
            **plain,
        ),
    )
    objects = {k: v for k, v in options.items() if v is not None and k not in plain}
    folder, record = start(
        recipe,
        Path(out) if out is not None else None,
        data=None if from_disk else data,
        options=objects,
        progress=progress or silent,
        say=say or (lambda sentence: None),
    )
    return Run(folder.path, record)


def _check_studies(prefer: str, cv: int, cv_repeats: int, seeds: int) -> None:
    """Raise UsageError for a study that cannot be."""
    from headstart.errors import UsageError

    if prefer not in ("simpler", "best"):
        raise UsageError(f"--prefer must be simpler or best, got {prefer!r}.")
    for name, value, least in (("cv", cv, 0), ("cv-repeats", cv_repeats, 1), ("seeds", seeds, 1)):
        if not isinstance(value, int) or value < least:
            raise UsageError(f"--{name} must be a whole number >= {least}, got {value!r}.")
    if cv == 1:
        raise UsageError("--cv 1 leaves nothing to train on; give 2 folds or more, 0 for none.")


def resume(
    path: str | Path,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Continue a run that was stopped: candidates that were finished are not made again.

    Raises RunError for a run that is done, or whose data came as Python objects.
    """
    from headstart.compute.progress import silent
    from headstart.errors import RunError
    from headstart.recipe import PYTHON_OBJECTS, read_recipe
    from headstart.run.folder import RECIPE, RECORD
    from headstart.run.walk import start

    folder = Path(path).expanduser()
    if not (folder / RECIPE).exists():
        raise RunError(f"{folder} has no {RECIPE}; is it a RUN folder?")
    if (folder / RECORD).exists() and Run.open(folder).record.status == "done":
        raise RunError(f"{folder} is done; there is nothing to continue.")
    recipe = read_recipe(folder / RECIPE)
    if recipe.data.source == PYTHON_OBJECTS:
        raise RunError(f"The data of {folder} came as Python objects; call transfer again.")
    made, record = start(
        recipe,
        folder,
        progress=progress or silent,
        say=say or (lambda sentence: None),
        again=True,
    )
    return Run(made.path, record)


def cook(
    recipe_path: str | Path,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Run a recipe from a TOML file, perhaps one that a run wrote and a person edited."""
    from headstart.compute.progress import silent
    from headstart.recipe import read_recipe
    from headstart.run.walk import start

    made, record = start(
        read_recipe(Path(recipe_path)),
        Path(out) if out is not None else None,
        progress=progress or silent,
        say=say or (lambda sentence: None),
    )
    return Run(made.path, record)


__all__ = ["Evaluation", "Prediction", "Run", "cook", "resume", "transfer"]
