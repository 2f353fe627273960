"""
The command `tunery`: its subcommands, and what becomes of errors.

An error that tunery raises on purpose is one sentence on standard error and an exit status of 10 + its google.rpc code;
a traceback is shown only with `--debug` or TUNERY_DEBUG=1. Commands import what is heavy when they are called.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tunery import __version__, config
from tunery.cli import output, terminal
from tunery.cli.accounts import keys, users
from tunery.cli.bases import bases
from tunery.cli.data import data
from tunery.cli.evaluate import evaluate, rescue
from tunery.cli.generate import generate
from tunery.cli.login import login
from tunery.cli.models import backup, models, restore
from tunery.cli.serve import doctor, serve
from tunery.cli.tune import tune
from tunery.errors import DatasetInvalid, TuneryError

app = typer.Typer(
    help="Tune small open-weight text models on your own examples, on your own machine.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help costs 0.1 s less than a drawn one, and pipes well
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(tune)
app.command()(generate)
app.command()(evaluate)
app.command()(rescue)
app.command()(serve)
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.add_typer(data, name="data")
app.add_typer(models, name="models")
app.add_typer(bases, name="bases")
app.command()(login)
app.add_typer(keys, name="keys")
app.add_typer(users, name="users")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends with SystemExit."""
    config.relax_garbage_collector()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an answer may hold what the encoding of a terminal has not
    try:
        app(arguments, prog_name="tunery")
    except Exception as error:
        if _is_debugging:
            raise
        sys.exit(_said(error))


def _print_version(is_asked: bool) -> None:
    if is_asked:
        terminal.result(f"tunery {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="TUNERY_DEBUG", help="Show tracebacks of errors. (default: one sentence)")
    ] = False,
) -> None:
    """Tune small open-weight text models on your own examples, on your own machine."""
    global _is_debugging
    _is_debugging = debug


_is_debugging = False


def _said(error: Exception) -> int:
    """Say an error in one sentence and return the exit status that goes with it."""
    if isinstance(error, DatasetInvalid) and error.problems:
        for line in output.problem_lines(error.problems):
            terminal.say(line)
        terminal.say(f"The data cannot be used: {output.problem_counts(error.problems)}.")
        return error.exit_status
    if isinstance(error, TuneryError):
        terminal.say(f"Error: {error}")
        return error.exit_status
    terminal.say(f"Error: something went wrong inside tunery ({type(error).__name__}: {error}). See it with --debug.")
    return TuneryError().exit_status
