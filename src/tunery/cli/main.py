"""
The command `tunery` and its subcommands.

Errors that tunery raises on purpose are printed as one sentence on standard error, and the exit status is 10 + the
google.rpc code; --debug or TUNERY_DEBUG=1 shows the traceback. Commands import heavy libraries only when they are
called.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tunery import __version__, config, progress
from tunery.cli import output, terminal
from tunery.cli.accounts import keys, users
from tunery.cli.data import data
from tunery.cli.decide import decide
from tunery.cli.evaluate import evaluate, rescue
from tunery.cli.generate import generate
from tunery.cli.login import login
from tunery.cli.models import backup, bases, migrate, models, restore, uninstall
from tunery.cli.serve import doctor, serve, worker
from tunery.cli.tune import tune
from tunery.errors import DatasetInvalid, InvalidArgument, TuneryError, as_tunery_error

FIRST_STEPS = """\
Tune small text models on your own examples, on your own machine.

  tunery data check FILE           Check a file of examples.
  tunery tune FILE --hold-out 10%  Tune a model; measure it on 10% of the rows.
  tunery generate MODEL TEXT       Ask the tuned model.
  tunery evaluate MODEL            See whether tuning helped.
  tunery serve --open              Open the Studio and serve the Gemini API.

Start with `tunery data check FILE`. FILE is CSV, Excel or JSONL with a column
for the input and one for the output. `tunery --help` lists all commands."""

_GROUPS: dict[str, tuple[Any, ...]] = {
    "Tune": (tune, generate, decide, evaluate, data, models),
    "Serve": (serve, worker, login, keys, users),
    "Maintain": (doctor, bases, backup, restore, migrate, rescue, uninstall),
}
_HELP_COLUMNS = 66
_DEBUG = "--debug"

# names of the API and of Python in the messages of the other parts, and the options that stand for them
_OPTIONS = {
    "epoch_count": "--epochs",
    "stop_sequences": "--stop",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            "base_model",
            "batch_size",
            "constrain_to_training_outputs",
            "hold_out",
            "learning_rate",
            "learning_rate_multiplier",
            "max_output_tokens",
            "none_below",
            "top_k",
            "top_p",
        )
    },
}
_NAME = re.compile(
    rf"(?<![\w'\"./-])(?:{'|'.join(_OPTIONS)}|(?:temperature|labels|weights)(?= must))\b(?!['\"/-]|\.\w)"
)
# what the library that reads options says, and what it means
_PLAIN = (
    (re.compile("^Value error, "), ""),
    (re.compile("^Input should be a valid integer.*"), "it must be a whole number."),
    (re.compile("^Input should be a valid number.*"), "it must be a number."),
    (re.compile("^Input should be"), "it must be"),
)


class _Groups(TyperGroup):
    """Lists the commands in groups, as plain text; a formatted list would start 0.1 s slower."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        for title, commands in _GROUPS.items():
            names = [
                str(command.info.name) if isinstance(command, typer.Typer) else command.__name__ for command in commands
            ]
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(_HELP_COLUMNS)) for name in names])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            for said, meant in _PLAIN:
                error.message = said.sub(meant, error.message)
            raise


app = typer.Typer(
    cls=_Groups,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (command for commands in _GROUPS.values() for command in commands):
    if isinstance(_command, typer.Typer):
        app.add_typer(_command)
    else:
        app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends with SystemExit."""
    config.relax_garbage_collector()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # an answer may contain characters that the terminal cannot encode
    try:
        app(_with_debug_first(sys.argv[1:] if arguments is None else arguments), prog_name="tunery")
    except Exception as error:
        if _is_debugging:
            raise
        sys.exit(_report(error))


def _with_debug_first(arguments: Sequence[str]) -> list[str]:
    """Move --debug to the front, where it is read, since it is added to the end of a command that failed."""
    end = arguments.index("--") if "--" in arguments else len(arguments)  # texts follow
    rest = [argument for argument in arguments[:end] if argument != _DEBUG]
    return [_DEBUG] * (len(rest) < end) + rest + list(arguments[end:])


def _print_version(is_given: bool) -> None:
    if is_given:
        terminal.result(f"tunery {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option(_DEBUG, envvar="TUNERY_DEBUG", help="Show tracebacks for errors. (default: one sentence)")
    ] = False,
) -> None:
    """Tune small open-weight text models on your own examples, on your own machine."""
    global _is_debugging
    _is_debugging = debug
    if context.invoked_subcommand is None:
        terminal.say(FIRST_STEPS)
        raise typer.Exit(2)
    context.with_resource(progress.never_silent(f"tunery {context.invoked_subcommand} is working"))


_is_debugging = False


def _with_options(text: str) -> str:
    """Return a message with the options of the command line in place of the names that the API and Python give."""
    return _NAME.sub(lambda found: _OPTIONS.get(found[0], f"--{found[0]}"), text)


def _report(error: Exception) -> int:
    """Print an error in one sentence and return its exit status."""
    if isinstance(error, DatasetInvalid) and error.problems:
        for line in output.problem_lines(error.problems):
            terminal.say(line)
        terminal.say(f"The data cannot be used: {output.problem_counts(error.problems)}.")
        return error.exit_status
    named = as_tunery_error(error)
    if named is error or type(named) is not TuneryError:
        text = str(named)
        terminal.say(f"Error: {_with_options(text) if isinstance(named, InvalidArgument) else text}")
        return named.exit_status
    terminal.say(f"Error: something went wrong inside tunery ({type(error).__name__}: {error}).")
    terminal.say(f"Add {_DEBUG} to the command to see where.")
    return TuneryError().exit_status
