"""Which methods a run tries, with what settings: as the recipe says, and its advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace

from headstart.adapt import BASELINES, BUILTIN, Choosy, Context, Method
from headstart.errors import UsageError
from headstart.recipe import Recipe
from headstart.run.job import Job
from headstart.run.kept import slug


def method_named(name: str) -> Method | None:
    """Return the method; None for "auto". Raises UsageError that lists what there is."""
    known = {method.name: method for method in BUILTIN}
    if name != "auto" and name not in known:
        raise UsageError(f"--method {name!r} is unknown; known: auto, {', '.join(known)}.")
    return known.get(name)


def configured(recipe: Recipe, methods: Sequence[Method]) -> list[Method]:
    """Apply the recipe's settings to methods. Raises UsageError for one that does not exist."""
    known = {slug(method.name) for method in (*BUILTIN, *BASELINES)}
    unknown = sorted(set(recipe.methods) - known)
    if unknown:
        raise UsageError(
            f"There is no method {unknown[0]!r} to set; known: {', '.join(sorted(known))}."
        )
    made: list[Method] = []
    for method in methods:
        settings = recipe.methods.get(slug(method.name), {})
        takes = [one.name for one in fields(method)]  # type: ignore[arg-type]
        strange = sorted(set(settings) - set(takes))
        if strange:
            raise UsageError(
                f"The method {slug(method.name)} has no setting {strange[0]!r}; it has "
                f"{', '.join(takes) or 'none'}."
            )
        try:
            settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
            made.append(replace(method, **settings))  # type: ignore[type-var]
        except TypeError as error:
            raise UsageError(f"Recipe, methods.{slug(method.name)}: {error}.") from None
    return made


def resolved(recipe: Recipe) -> Recipe:
    """Return the recipe with the settings of every method written out."""
    settings = {
        slug(method.name): {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(method).items()  # type: ignore[call-overload]
            if value is not None
        }
        for methods in (BUILTIN, BASELINES)
        for method in configured(recipe, methods)
    }
    return recipe.model_copy(update={"methods": settings})


def tried(job: Job, method: Method) -> bool:
    """Say whether a method is tried; what an automatic run trains, its advice decides."""
    asked = method_named(job.recipe.method)
    if asked is None:
        advised = job.guide.advice.methods if job.guide else []
        return not method.trains or method.name in advised
    # What is trained is held against the probe, whose head it may start from.
    return method.name == asked.name or (asked.trains and method.name == "probe")


def trained_methods(job: Job, context: Context) -> list[Method]:
    """Return the methods that train, as the recipe and the advice have them."""
    found = []
    for method in configured(job.recipe, BUILTIN):
        if not method.trains or not tried(job, method):
            continue
        why = None
        if job.recipe.method == "auto" and isinstance(method, Choosy):
            why = method.unsuited(context.data, context.training)
        if why:
            job.say(
                f"{method.name.capitalize()} is left out: {why}. Ask for it with "
                f"--method {method.name}."
            )
            continue
        found.append(method)
    return found
