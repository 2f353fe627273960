"""OpenAI's own Python client against a running server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.client_venv import client_python
from tests.live import BASE, TUNED, Live

OPENAI = "openai==3.54.0"
PAGE = Path(__file__).parents[2] / "docs" / "openai.md"
CALLS = Path(__file__).with_name("openai_calls.py")


@pytest.fixture(scope="module")
def called(live: Live) -> dict[str, Any]:
    """Return what the client's calls came to."""
    python = client_python("openai", OPENAI)
    arguments = [f"{live.address}/openai/v1", live.token, f"tunedModels/{TUNED}"]
    bare = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OPENAI_API_KEY")}
    done = subprocess.run(
        [python, CALLS, *arguments], capture_output=True, text=True, env=bare | {"NO_PROXY": "127.0.0.1"}
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_whole_streamed_and_asynchronous_answers_are_the_same(called: dict[str, Any]) -> None:
    """Chat and prompts give one greedy text in every way that the client has to ask."""
    ways = ("text", "streamed", "completed", "streamed_completion", "asynchronous")

    assert len({called[way] for way in ways}) == 1
    assert called["tokens"] == [12, 12]
    assert called["finish_reason"] == "length"


def test_log_probabilities_are_read(called: dict[str, Any]) -> None:
    """Of the tokens of a greedy answer, each the likeliest of its place, by chat and by prompt."""
    rows = called["logprobs"]

    assert len(rows) == 12
    assert all(chosen == first >= second for chosen, first, second in rows)
    assert called["token_logprobs"] == pytest.approx([row[0] for row in rows], abs=1e-4)


def test_an_answer_keeps_to_the_schema(called: dict[str, Any]) -> None:
    """What the client asks for as `response_format` comes as JSON of that schema."""
    answer = json.loads(called["formed"])

    assert answer["kind"] in ("bug", "login")
    assert answer["is_open"] in (True, False)
    assert len(answer) == 2


def test_models_are_found(called: dict[str, Any]) -> None:
    """The client lists base and tuned models and finds one by its full name."""
    assert {BASE, f"tunedModels/{TUNED}"} <= set(called["models"])
    assert called["retrieved"] == f"tunedModels/{TUNED}"


def test_errors_are_the_classes_that_programs_catch(called: dict[str, Any]) -> None:
    """Each refusal is the client's own class for it, with its code."""
    assert called["errors"] == {
        "unknown model": ["NotFoundError", "model_not_found"],
        "bad value": ["BadRequestError", None],
        "tools": ["BadRequestError", None],
        "bad key": ["AuthenticationError", "invalid_api_key"],
    }


def test_snippets_of_the_page_run(live: Live, tmp_path: Path) -> None:
    """The Python of docs/openai.md, block after block in one program, runs and prints what the page says."""
    python = client_python("openai", OPENAI)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks), "utf-8")
    given = {"OPENAI_BASE_URL": f"{live.address}/openai/v1", "OPENAI_API_KEY": live.token, "NO_PROXY": "127.0.0.1"}
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run([python, program], capture_output=True, text=True, env=bare | given)

    assert done.returncode == 0, done.stderr
    assert " tokens)" in done.stdout
    assert f"tunedModels/{TUNED} tuned model" in done.stdout
