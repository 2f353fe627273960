"""The corpus in every place: Python, the command line and the HTTP API read a file alike, and say the same about it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main
from pydantic.alias_generators import to_camel
from starlette.testclient import TestClient

from tests.cli.conftest import Run, runner
from tests.data.test_corpus import EXPECTED, FILES
from tests.server.api import serving_api, write_base
from tunery.cli import output
from tunery.data import sandbox
from tunery.data.dataset import Dataset, Preview, preview
from tunery.errors import DataProblem, DatasetInvalid, Level

Fields = dict[str, Any]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving_api(tmp_path_factory.mktemp("home"), write_base(tmp_path_factory.mktemp("base"))) as api:
        yield api.web


built = cache(typer.main.get_command)  # building all commands takes five times as long as running one


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(typer.main, "get_command", built)
    return runner(capfd)


@pytest.fixture(autouse=True)
def _reads_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the guarded reader answer without a child, whose start takes ten times as long as a file of the corpus."""

    def answered(command: list[str], *, input: bytes, **_: object) -> subprocess.CompletedProcess[bytes]:
        answer = json.dumps(sandbox._answer(json.loads(input)))
        return subprocess.CompletedProcess(command, 0, answer.encode(), b"")

    stand_in = SimpleNamespace(run=answered, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(sandbox, "subprocess", stand_in)


def options_of(name: str) -> Fields:
    return dict(EXPECTED[name].get("needs", {}))


@cache
def in_python(name: str) -> tuple[Preview | None, tuple[DataProblem, ...]]:
    """Return the preview in Python, None if there is no table, and the problems."""
    try:
        found = preview(FILES / name, **options_of(name))
    except DatasetInvalid as error:
        return None, error.problems
    return found, found.problems


def plain(value: object) -> Any:
    """Return a value as JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(value))


def flags(options: Fields) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def is_usable(problems: tuple[DataProblem, ...]) -> bool:
    return not any(problem.level is Level.ERROR for problem in problems)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_command_line_says_what_python_says(name: str, run: Run) -> None:
    """`data preview` and `data check` show the same rows, columns and problems; a refusal has the same words."""
    options, (found, problems) = options_of(name), in_python(name)

    shown = run("data", "preview", FILES / name, *flags(options), "--json")
    checked = run("data", "check", FILES / name, *flags(options), "--json")

    assert checked.status == (0 if is_usable(problems) else 13)
    assert "\n".join(output.problem_lines(problems)) in checked.said
    if found is None:
        assert (shown.status, shown.said) == (checked.status, checked.said)
        return
    assert json.loads(shown.output) == plain(asdict(found))
    document = json.loads(checked.output)
    assert document["problems"] == plain([asdict(problem) for problem in problems])
    assert (document["rows"], document["examples"]) == (found.row_count, found.example_count)
    assert (document["input_columns"], document["output_column"]) == (list(found.input_columns), found.output_column)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_api_says_what_python_says(name: str, web: TestClient) -> None:
    """`datasets:parse` gives the same examples with their rows, columns, sample and problems."""
    options, (found, problems) = options_of(name), in_python(name)

    reply = web.post(
        "/v1beta/datasets:parse",
        files={"file": (name, (FILES / name).read_bytes())},
        data={to_camel(field): value for field, value in options.items()},
    ).json()

    same = ("kind", "message", "level", "row", "column", "limit", "actual")
    assert [{field: one.get(field) for field in same} for one in reply["problems"]] == [
        {field: asdict(problem)[field] for field in same} for problem in problems
    ]
    assert [one.get("option") for one in reply["problems"]] == [
        to_camel(problem.option) if problem.option else None for problem in problems
    ]
    if found is None:
        assert "columns" not in reply
        return
    assert reply["columns"] == list(found.columns)
    assert (reply["rowCount"], reply["exampleCount"]) == (found.row_count, found.example_count)
    assert [(row["number"], row["cells"]) for row in reply["sample"]] == [
        (row.number, [cell or "" for cell in row.cells]) for row in found.sample
    ]
    assert reply["mapping"].get("outputColumn") == found.output_column
    assert reply["mapping"]["inputColumns"] == list(found.input_columns)
    assert reply["mapping"]["ignoredColumns"] == list(found.ignored_columns)
    if is_usable(problems):
        dataset = Dataset.read(FILES / name, **options)
        assert [(one["textInput"], one["output"], one["row"]) for one in reply["examples"]] == [
            (example.text_input, example.output, row)
            for example, row in zip(dataset.examples, dataset.rows, strict=True)
        ]
