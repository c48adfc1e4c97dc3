"""What the advice decides in an automatic run: which models, which methods, which settings."""

from __future__ import annotations

from typing import Any

from headstart.adapt import BUILTIN, Method
from headstart.adapt.featurisers import BackboneFeaturiser
from headstart.recipe import Recipe
from headstart.report.advised import cost_text
from headstart.run.advising import Guide, shortlist
from headstart.run.folder import RECORD
from headstart.run.job import Job
from headstart.run.kept import slug
from headstart.run.scene import Scene, least_seconds


def foresee(job: Job) -> None:
    """In an automatic run: choose among many models, and say what is expected."""
    if job.recipe.method != "auto":
        return
    job.backbones = shortlist(
        job.data, job.backbones, seed=job.recipe.seed, allow_pickle=job.recipe.allow_pickle,
        progress=job.progress, say=job.say,
    )  # fmt: skip
    scene = Scene(
        job.data, job.own_validation, len(job.opened.splits.test), job.backbones,
        job.budget.left, job.recipe.seed, job.progress, job.say,
        least_seconds(job.budget.seconds),
    )  # fmt: skip
    kept = job.folder.read().advice if (job.folder.path / RECORD).exists() else None
    job.guide = Guide(scene, before=kept, clock=job.budget)
    advice = job.guide.advice
    job.mention(f"Expected: {cost_text(advice.estimated)}. Advice so far: {advice.title}.")


def decide(job: Job, source: BackboneFeaturiser | None) -> bool:
    """Ask the tree again, now that frozen features were tried, and follow its settings.

    Returns whether the recipe was changed.
    """
    if job.guide is None:
        return False
    before = job.recipe
    advice = job.guide.decide(job.entries, source or job.backbones[0], job.budget.left)
    last = advice.turns[-1]
    found = f"{last.answer.capitalize()}: {'; '.join(last.values)}."
    job.mention(f"Advice: {advice.title}. {last.question} {found}")
    for title in advice.not_built:
        job.say(f"{title} would come first, but is not built yet.")
    if advice.favoured:
        job.say(f"{advice.favoured.capitalize()} is favoured: {advice.favoured_because}.")
    for name, settings in advice.settings.items():
        free = unset(job.recipe, name, settings)
        if free:
            job.say(f"The advice sets {', '.join(f'{name}.{k} = {v}' for k, v in free.items())}.")
            methods = job.recipe.methods | {name: job.recipe.methods.get(name, {}) | free}
            job.recipe = job.recipe.model_copy(update={"methods": methods})
    return job.recipe is not before


def unset(recipe: Recipe, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return those of `settings` that nobody set: absent from the recipe, or at their defaults.

    A recipe that a run wrote has every default, so the two cannot be told apart.
    """
    usual = next(method for method in BUILTIN if slug(method.name) == name)
    own = recipe.methods.get(name, {})
    if own.get("schedule"):
        return {}
    return {
        key: value for key, value in settings.items()
        if own.get(key, plain(usual, key)) == plain(usual, key)
    }  # fmt: skip


def plain(method: Method, key: str) -> Any:
    """Return a setting as a recipe has it."""
    value = getattr(method, key)
    return list(value) if isinstance(value, tuple) else value
