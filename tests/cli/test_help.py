"""The help: every option that the design names exists and says its default."""

from __future__ import annotations

import pytest
from typer.main import get_command

from tests.cli.conftest import Run
from tunery.cli.main import app

TUNE = (
    "--base-model --id --display-name --description --epochs --batch-size"
    " --learning-rate --learning-rate-multiplier --settings --weights --device --hold-out --seed --resume"
    " --server --json --yes"
)
GENERATE = (
    "--input --output --temperature --top-p --top-k --max-output-tokens --stop --seed --device --server --yes --json"
)
GENERATE += " --input-column --sheet"
GENERATE += " --json-schema --labels --none-below --constrain-to-training-outputs"
READING = "--input-column --output-column --header-row --sheet --hidden-rows --encoding --delimiter"
WANTED = {
    "tune": f"{TUNE} {READING}",
    "generate": GENERATE,
    "decide": "--input --output --input-column --sheet --labels --question --questions --device --server --yes --json",
    "data preview": f"{READING} --json",
    "data check": f"{READING} --base-model --json",
    "data curve": f"{READING} --base-model --sizes --repeats --epochs --seed --json",
    "data surgery": f"{READING} --model --folds --fix --drop-mislabelled --base-model --json",
    "models list": "--server --json",
    "models show": "--server --json",
    "models delete": "--server --yes",
    "models export": "--format --bits --to --prove --server --json",
    "evaluate": f"{READING} --against --folds --rows --seed --device --server --json",
    "rescue": f"{READING} --endpoint --model --to --style --key-variable --bearer --per-minute --json",
    "models next": "--server",
    "models card": "--server --json",
    "models use": "--server --json",
    "doctor": "--port --json",
    "backup": "--with-bases --json",
    "restore": "--json",
    "migrate": "--back --json",
    "uninstall": "--yes --json",
    "bases list": "--all --json",
    "bases search": "--json",
    "bases get": "--json",
    "bases pull": "--json",
    "bases remove": "--yes --json",
    "bases add": "--name --json",
    "bases export": "--to --json",
    "serve": "--host --port --behind-tls-proxy --keys-may-tune --open --log-format --tuning --device"
    " --executor --ray-address --ray-workers --ray-cpus --ray-gpus",
    "worker": "--device --evaluation --log-format",
    "login": "--server --local --no-browser --print-token --print-env --days",
    "keys create": "--label --user --service-account --json",
    "keys list": "--json",
    "keys revoke": "",
    "users add": "--admin --password --json",
    "users list": "--json",
    "users log": "--by --model --limit --json",
    "users password": "",
    "users link": "",
    "users disable": "",
    "users enable": "",
}


def _options() -> dict[str, dict[str, str]]:
    """Return the help of each option of each command."""
    found: dict[str, dict[str, str]] = {}

    def walk(name: str, command: object) -> None:
        for child, below in getattr(command, "commands", {}).items():
            walk(f"{name} {child}".strip(), below)
        if not hasattr(command, "commands"):
            parameters = [p for p in getattr(command, "params", ()) if p.opts[0].startswith("-")]
            found[name] = {p.opts[0]: p.help for p in parameters}

    walk("", get_command(app))
    return found


@pytest.mark.parametrize("name", WANTED)
def test_every_option_of_the_design_is_there(name: str) -> None:
    """Each command has the options that the design names."""
    assert set(WANTED[name].split()) <= _options()[name].keys()


def test_no_command_is_a_stub() -> None:
    """No other commands exist."""
    assert _options().keys() == WANTED.keys()


def test_every_option_says_its_default() -> None:
    """The help of an option is a sentence that ends with its default."""
    texts = [text for options in _options().values() for text in options.values()]

    assert texts
    assert [text for text in texts if ". (default: " not in text] == []


@pytest.mark.parametrize("name", ["", *WANTED])
def test_help_fits_80_columns(run: Run, name: str) -> None:
    """Help of every command is plain text of at most 80 columns."""
    done = run(*name.split(), "--help")

    assert done.status == 0
    assert max(map(len, done.output.splitlines())) <= 80


def test_version(run: Run) -> None:
    """--version prints one line."""
    assert run("--version").output.startswith("tunery 0.")


def test_without_arguments_the_first_steps_are_shown(run: Run) -> None:
    """Five commands, what to type first and where the others are, within 80 columns; exit status 2."""
    done = run()

    assert (done.status, done.output) == (2, "")
    commands = [line.split()[1] for line in done.said.splitlines() if line.startswith("  tunery ")]
    assert commands == ["data", "tune", "generate", "evaluate", "serve"]
    assert "Start with `tunery data check FILE`" in done.said
    assert "tunery --help" in done.said
    assert max(map(len, done.said.splitlines())) <= 80


def test_help_lists_every_command(run: Run) -> None:
    """The groups of the help hold all commands, each with a summary that is not cut off."""
    lines = [line for line in run("--help").output.splitlines() if line.startswith("  ")]

    assert {name.split()[0] for name in WANTED} <= {line.split()[0] for line in lines}
    assert not any(line.endswith("...") for line in lines)
