"""The command line: parse, call, print. No logic lives here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart import __version__
from headstart.errors import HeadstartError

if TYPE_CHECKING:
    from headstart.console import Screen
    from headstart.run import Run

app = typer.Typer(
    name="headstart",
    help="Adapt a pretrained model to your data, and prove that it helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

cache_app = typer.Typer(
    help="What is kept between runs: features of frozen backbones.", no_args_is_help=True
)
app.add_typer(cache_app, name="cache")

Json = Annotated[bool, typer.Option("--json", help="Print the record as JSON, and nothing else.")]
Column = Annotated[str | None, typer.Option(help="Column of the inputs (or its number from 0).")]
Target = Annotated[
    str | None, typer.Option(help="Column of the targets; several as a,b,c (0/1 columns).")
]
Encoding = Annotated[str, typer.Option(help="Encoding of text files.")]
Root = Annotated[Path | None, typer.Option(help="Folder that paths in a table are relative to.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Adapt a pretrained model to your data, and prove that it helped."""


@app.command()
def transfer(
    data: Annotated[
        str | None,
        typer.Argument(help="Folder (one sub-folder a class, or with labels.csv), or a table."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model id or folder; may be given several times.")
    ] = None,
    method: Annotated[str, typer.Option(help="auto, probe or finetune.")] = "auto",
    input: Column = None,
    target: Target = None,
    test: Annotated[
        str | None, typer.Option(help="Data that becomes the sealed test part.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of groups that must not part (patient, speaker).")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="classification, multi-label or regression.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="image, text or audio.")] = None,
    budget: Annotated[str, typer.Option(help="Time for the whole run: 90s, 10m, 1h.")] = "10m",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The RUN folder; must not exist yet.")] = None,
    encoding: Encoding = "utf-8",
    root: Root = None,
    allow_pickle: Annotated[
        bool, typer.Option(help="Accept pickled weights (read with weights_only).")
    ] = False,
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

    screen = _screen(as_json)
    watching: dict[str, Any] = {"progress": screen.progress, "say": screen.say}
    if resume is not None:
        _print_run(runs.resume(resume, **watching), screen, as_json)
        return
    if recipe is not None:
        _print_run(runs.cook(recipe, out=out, **watching), screen, as_json)
        return
    if data is None:
        raise UsageError("DATA is missing: name a folder or a table, or see headstart demo.")
    run = runs.transfer(
        data, model=model, method=method, input=input, target=target, test=test, group=group,
        task=task, modality=modality, budget=budget, seed=seed, out=out, encoding=encoding,
        root=root, allow_pickle=allow_pickle, **watching,
    )  # fmt: skip
    _print_run(run, screen, as_json)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="RUN folder.")],
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
    from headstart.run import Run
    from headstart.run.use import table_of, write_csv

    screen = _screen(as_json)
    found, bad = Run.open(run).predicted(
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
            sure = f"  {max(one.scores.values()):.3f}" if one.scores else ""
            typer.echo(f"{one.id}\t{_answer(one.answer)}{sure}")
    for item in bad:
        screen.say(f"Not predicted: {item.id}: {item.reason}")


@app.command()
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

    screen = _screen(as_json)
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
        typer.echo(f"  {name:<20} {_interval(measured)}")


@app.command()
def models(
    modality: Annotated[str | None, typer.Option(help="image, text or audio.")] = None,
    as_json: Json = False,
) -> None:
    """List the pretrained models that can be used here and now."""
    from dataclasses import asdict

    from headstart.sources import cards

    found = [card for card in cards() if modality in (None, card.modality)]
    if as_json:
        typer.echo(json.dumps([asdict(card) for card in found], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "takes", "parameters", "width", "here", "note", box=None)
    for card in found:
        size = f"{card.parameters / 1e6:.2f} M" if card.parameters else ""
        here = "yes" if card.available else "no"
        table.add_row(card.id, card.modality, size, str(card.width or ""), here, card.note)
    Console().print(table)
    typer.echo("Any Hugging Face folder (--model PATH) or hub id (--model org/name) works too.")


@app.command()
def report(run: Annotated[Path, typer.Argument(help="RUN folder.")]) -> None:
    """Write report.html of a RUN folder again, from its record."""
    from headstart.run.use import Run

    typer.echo(str(Run.open(run).report()))


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Folder for the two RUN folders.")] = None,
    as_json: Json = False,
) -> None:
    """The main job on what is in the package: letters help to read handwritten digits."""
    from headstart.demo import run_demo

    screen = _screen(as_json)
    runs = run_demo(out, progress=screen.progress, say=screen.say, show=None if as_json else _show)
    if as_json:
        records = [json.loads(run.record.to_json()) for run in runs]
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))


@cache_app.command("ls")
def cache_ls(as_json: Json = False) -> None:
    """List what the feature store holds, last used first."""
    from headstart.features.store import entries, listed

    rows = listed(reversed(list(entries())))
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("key", "backbone", "engine", "rows", "size", "last used", box=None)
    for row in rows:
        size = f"{row['size'] / 2**20:.1f} MB"
        table.add_row(
            row["key"][:16], row["backbone"], row["engine"], f"{row['rows']:,}", size, row["used"]
        )
    Console(soft_wrap=True).print(table)


@cache_app.command("clear")
def cache_clear(
    key: Annotated[str | None, typer.Argument(help="A key of cache ls, or how one begins.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all of them.")] = False,
) -> None:
    """Remove features of KEY, or all of them; they are extracted again when they are needed."""
    from headstart.features.store import clear

    gone = clear(None if everything else key or "")
    for entry in gone:
        typer.echo(f"Removed {entry.key}: {entry.rows:,} rows.")
    typer.echo(f"{sum(entry.size for entry in gone) / 2**20:.1f} MB freed.")


def _screen(silent: bool) -> Screen:
    from headstart.console import Screen, quiet_libraries

    quiet_libraries()
    return Screen(silent=silent)


def _print_run(run: Run, screen: Screen, as_json: bool) -> None:
    if as_json:
        typer.echo(run.record.to_json(), nl=False)
        return
    _show(run)


def _show(run: Run) -> None:
    from rich.console import Console

    from headstart.report.terminal import summary

    console = Console(highlight=False)
    console.print(summary(run.record))
    console.print(f"Report: {run.path / 'report.html'}", markup=False, soft_wrap=True)


def _answer(answer: Any) -> str:
    if isinstance(answer, list):
        return " | ".join(map(str, answer)) or "(none)"
    return f"{answer:.6g}" if isinstance(answer, float) else str(answer)


def _interval(measured: Any) -> str:
    if measured.low is None or measured.high is None:
        return f"{measured.value:.4f}"
    return f"{measured.value:.4f}  [{measured.low:.4f}, {measured.high:.4f}]"


def main() -> None:
    """Entry point: our own errors become one line and exit code 2, Ctrl-C exit code 130.

    Typer turns Ctrl-C into a silent exit with code 130.
    """
    try:
        app()
    except HeadstartError as error:
        print(f"headstart: {_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        print(
            "headstart: stopped. What was finished is kept in the RUN folder; go on with: "
            "headstart transfer --resume RUN",
            file=sys.stderr,
        )
        sys.exit(130)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
