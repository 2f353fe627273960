"""Tuned models that answer: beside their base, on rows they never saw, and from code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.acceptance.client_venv import client_python
from tests.acceptance.clients import environments
from tests.acceptance.test_openai_client import OPENAI
from tests.chaos.served import proof
from tests.needs import missing
from tests.studio.conftest import Visit
from tests.studio.hosts import BASE, Host
from tests.studio.visitor import Visitor

LOCAL = "local"  # the user at the machine of the server, for whom the command line acts


def test_two_models_side_by_side(ann: Visitor, make_model: Callable[[Visitor], str]) -> None:
    """Journey 7: base and tuned model stream their answers to a held-out row, beside what was expected."""
    page = ann.goto(f"/models/{make_model(ann)}")
    ann.press("Compare")
    expect(ann.heading).to_have_text("Playground")
    ann.press("Pick a held-out example")
    prompt = page.get_by_role("textbox", name="Prompt")
    expect(prompt).to_have_value(re.compile(r"^\d+$"))
    expect(page.get_by_text("Expected")).to_be_visible()
    page.get_by_label("Max output tokens").fill("12")
    page.get_by_label("Max output tokens").blur()

    ann.press("Run")

    for model in ("Numbers", "base"):
        expect(page.get_by_role("region", name=f"Answer of {model}")).to_contain_text("20 tokens in, 12 out")


# by the page itself, from before it runs: tiny answers are over before a pointer is there
STOP_AT_FIRST_WORDS = """() => {
  const look = () => {
    const stop = [...document.querySelectorAll("button")].find((button) => button.textContent === "Stop");
    if (!stop || !document.body.innerText.includes("tokens in")) return requestAnimationFrame(look);
    stop.click();
  };
  look();
}"""


def test_answers_are_stopped(ann: Visitor, make_model: Callable[[Visitor], str]) -> None:
    """Journey 7: both answers stop in the middle, what was said by then stays, and the next prompt can be run."""
    model = make_model(ann)
    page = ann.goto(f"/playground?model=tunedModels/{model}&with=models/{BASE}")
    page.get_by_label("Max output tokens").fill("1900")
    page.get_by_label("Max output tokens").blur()
    # characters that the model has learned to go on with do not matter: the base never ends by itself
    page.get_by_role("textbox", name="Prompt").fill("7")
    page.evaluate(STOP_AT_FIRST_WORDS)
    ann.press("Run")

    expect(page.get_by_text("Stopped.").first).to_be_visible(timeout=ann.TUNE_MS)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_held_out_rows(ann: Visitor, make_model: Callable[[Visitor], str]) -> None:
    """The rows that were not learned are asked of both models, and those that are exactly right are counted."""
    page = ann.without_evaluations().goto(f"/models/{make_model(ann)}?tab=heldOut")

    ann.press("Run both models on 2 rows")

    expect(page.get_by_text(re.compile(r"Exact matches: tuned model \d of 2, base model \d of 2"))).to_be_visible()


def test_every_snippet_runs(visit: Visit, host: Host, make_model: Callable[[Visitor], str], tmp_path: Path) -> None:
    """Journey 12: each tab of the API tab holds a call that answers as it stands, once TUNERY_TOKEN is set."""
    owner = visit(host, user=LOCAL)
    page = owner.goto(f"/models/{make_model(owner)}?tab=api")
    shown = {}
    for name in RUNNERS:
        page.get_by_role("tab", name=name, exact=True).click()
        shown[name] = page.get_by_role("tabpanel", name=name, exact=True).locator("pre").inner_text()

    assert page.get_by_role("tabpanel", name="API").get_by_role("tab").count() == len(RUNNERS)
    failed = {}
    for name, snippet in shown.items():
        done = _run(RUNNERS[name](snippet, tmp_path), host)
        if done.returncode or not done.stdout.strip():
            failed[name] = f"{done.stdout}\n{done.stderr}\n{snippet}"
    assert failed == {}


def _run(command: list[str | Path], host: Host) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GOOGLE_", "OPENAI_"))}
    token = proof(host.home)["Authorization"].removeprefix("Bearer ")
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    environment = kept | {"TUNERY_TOKEN": token, "TUNERY_HOME": str(host.home), "PATH": path, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def _shell(snippet: str, _: Path) -> list[str | Path]:
    return ["bash", "-ec", snippet]


def _curl(snippet: str, folder: Path) -> list[str | Path]:
    return _shell(snippet.replace("curl ", "curl --fail-with-body --silent ", 1), folder)


def _python(client: Callable[[], Path]) -> Callable[[str, Path], list[str | Path]]:
    return lambda snippet, _: [_or_skip(client), "-c", snippet]


def _node(snippet: str, folder: Path) -> list[str | Path]:
    script = folder / "snippet.mjs"
    script.write_text(snippet, "utf-8")
    (folder / "node_modules").symlink_to(_or_skip(environments.javascript_folder) / "node_modules")
    return [environments.node(), script]


def _or_skip(make: Callable[[], Path]) -> Path:
    try:
        return make()
    except environments.Unavailable as error:
        missing(f"a client could not be installed: {error}")


RUNNERS = {
    "curl": _curl,
    "Python (google-genai)": _python(lambda: environments.python_of("google-genai-3.4.0")),
    "Python (google-generativeai)": _python(lambda: environments.python_of("google-generativeai-0.8.6")),
    "OpenAI": _python(lambda: client_python("openai", OPENAI)),
    "Node": _node,
    "Command line": _shell,
}
