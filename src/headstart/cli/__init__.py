"""The command line: parse, call, print. No logic lives here.

A new command is a file here with `register(app)`, and a word in COMMANDS.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from headstart import __version__
from headstart.cli import advise, augment, cache, compare, export, models, rank, transfer
from headstart.errors import HeadstartError

app = typer.Typer(
    name="headstart",
    help="Adapt a pretrained model to your data, and prove that it helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


COMMANDS = (transfer, compare, export, advise, rank, models, augment, cache)  # as on the help page
for _command in COMMANDS:
    _command.register(app)


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
