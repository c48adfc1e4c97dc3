"""`headstart transfer` and what is done with its RUN folder: predict, evaluate, report, demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.common import (
    Column,
    Encoding,
    Group,
    Json,
    Kind,
    Modality,
    Models,
    Pickle,
    Root,
    Seed,
    Target,
    answered,
    interval,
    print_run,
    screen_for,
    show,
)


def register(app: typer.Typer) -> None:
    """Put the commands on `app`."""
    for command in (transfer, predict, evaluate, report, demo):
        app.command()(command)


def transfer(
    data: Annotated[
        str | None,
        typer.Argument(help="Folder (one sub-folder a class, or with labels.csv), or a table."),
    ] = None,
    model: Models = None,
    method: Annotated[str, typer.Option(help="auto, probe, few-shot or finetune.")] = "auto",
    set: Annotated[
        list[str] | None,
        typer.Option(help="A setting of a method, as finetune.epochs=3; may be given often."),
    ] = None,
    input: Column = None,
    target: Target = None,
    test: Annotated[
        str | None, typer.Option(help="Data that becomes the sealed test part.")
    ] = None,
    group: Group = None,
    task: Kind = None,
    modality: Modality = None,
    budget: Annotated[str, typer.Option(help="Time for the whole run: 90s, 10m, 1h.")] = "10m",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="The RUN folder; must not exist yet.")] = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
    allow_pickle: Pickle = False,
    auto_remedy: Annotated[
        bool, typer.Option(help="Train once more where a curve shows what is wrong.")
    ] = False,
    prefer: Annotated[
        str, typer.Option(help="Hand over the simpler of what is even, or the best: simpler, best.")
    ] = "simpler",
    cv: Annotated[
        int, typer.Option(help="Folds of a cross-validation against every baseline; 0: none.")
    ] = 0,
    cv_repeats: Annotated[int, typer.Option(help="How often all folds are made anew.")] = 3,
    seeds: Annotated[
        int, typer.Option(help="Train with so many seeds, to see how much that moves.")
    ] = 1,
    label_curve: Annotated[
        bool, typer.Option(help="Say what fewer labels would give, and what more would.")
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(help="tensorboard, mlflow or wandb, into RUN/tracking; may be given often."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Run this recipe.toml; only --out goes with it."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this RUN folder; other options are not used.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Adapt a model to DATA, hold it against baselines, and write a RUN folder."""
    from headstart import run as runs
    from headstart.errors import UsageError
    from headstart.recipe import setting

    screen = screen_for(as_json)
    watching: dict[str, Any] = {"progress": screen.progress, "say": screen.say}
    if resume is not None:
        print_run(runs.resume(resume, **watching), screen, as_json)
        return
    if recipe is not None:
        print_run(runs.cook(recipe, out=out, **watching), screen, as_json)
        return
    if data is None:
        raise UsageError("DATA is missing: name a folder or a table, or see headstart demo.")
    run = runs.transfer(
        data, model=model, method=method, settings=dict(map(setting, set or [])), input=input,
        target=target, test=test, group=group, task=task, modality=modality, budget=budget,
        seed=seed, out=out, encoding=encoding, root=root, allow_pickle=allow_pickle,
        auto_remedy=auto_remedy, prefer=prefer, cv=cv, cv_repeats=cv_repeats, seeds=seeds,
        label_curve=label_curve, track=track, **watching,
    )  # fmt: skip
    print_run(run, screen, as_json)


def predict(
    run: Annotated[Path, typer.Argument(help="RUN folder, or an export of one.")],
    inputs: Annotated[
        list[str], typer.Argument(help="Files, folders, tables, or texts.", metavar="INPUT...")
    ],
    out: Annotated[Path | None, typer.Option(help="Write a CSV file instead of printing.")] = None,
    input: Column = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Predict new inputs with the model of a RUN folder."""
    from headstart.run.export import opened
    from headstart.run.use import table_of, write_csv

    screen = screen_for(as_json)
    found, bad = opened(run).predicted(
        inputs, column=input, encoding=encoding, root=root, progress=screen.progress
    )
    rows = table_of(found, bad)
    if out is not None:
        write_csv(rows, out)
        screen.say(f"{len(found)} predictions written to {out}.")
    elif as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for one in found:
            typer.echo(f"{one.id}\t{answered(one.answer, one.scores)}")
    for item in bad:
        screen.say(f"Not predicted: {item.id}: {item.reason}")


def evaluate(
    run: Annotated[Path, typer.Argument(help="RUN folder.")],
    data: Annotated[str, typer.Argument(help="Labelled data, of any form that transfer takes.")],
    input: Column = None,
    target: Target = None,
    group: Annotated[str | None, typer.Option(help="Column of groups.")] = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Measure the model of a RUN folder on other labelled data."""
    from headstart.run import Run

    screen = screen_for(as_json)
    found = Run.open(run).evaluate(
        data, input=input, target=target, group=group, encoding=encoding, root=root,
        progress=screen.progress,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    for note in found.notes:
        screen.say(note)
    typer.echo(f"{found.result} on {found.count} examples (95 % intervals):")
    for name, measured in found.metrics.items():
        typer.echo(f"  {name:<20} {interval(measured)}")


def report(run: Annotated[Path, typer.Argument(help="RUN folder.")]) -> None:
    """Write report.html of a RUN folder again, from its record."""
    from headstart.run.use import Run

    typer.echo(str(Run.open(run).report()))


def demo(
    out: Annotated[Path | None, typer.Option(help="Folder for the two RUN folders.")] = None,
    as_json: Json = False,
) -> None:
    """The main job on what is in the package: letters help to read handwritten digits."""
    from headstart.demo import run_demo

    screen = screen_for(as_json)
    runs = run_demo(out, progress=screen.progress, say=screen.say, show=None if as_json else show)
    if as_json:
        records = [json.loads(run.record.to_json()) for run in runs]
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))
