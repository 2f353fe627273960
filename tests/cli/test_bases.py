"""`tunery bases` with a hub: the list, search, get, remove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.hub import Hub, hub_of
from tests.live import BASE, Live
from tunery.engine import fetch, memory
from tunery.engine.offered import offered_bases

QWEN = "Qwen/Qwen3-0.6B"


@pytest.fixture
def hub(base_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Return a hub on which a tiny base stands for one of the list."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.001)
    with hub_of({QWEN: base_folder}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


def test_the_list_shows_what_fits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every base of the list with size, licence and memory; yes, tight or no, in 80 columns; nobody is asked."""
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * 10**9)
    monkeypatch.setattr(memory, "total_memory", lambda: 4 * 10**9)

    done = run("bases", "list", "--all")

    lines = {line.split()[0]: line for line in done.output.splitlines()}
    assert set(offered_bases()) <= set(lines)
    assert "600M  Apache-2.0  yes 1.9 8bit    tight 2.1   not here" in lines["qwen3-0.6b"]
    assert "tight 3.9       tight 3.5   gated" in lines["llama-3.2-1b-instruct"]
    assert "no 4.8 4bit     no 9.4      not here" in lines["qwen3-4b-instruct-2507"]
    assert max(map(len, done.output.splitlines())) <= 80
    assert "does it fit into memory, of which 2.0 GB are free now (tight: only if other programs end)" in done.said
    assert "What does not fit is counted with less: layers computed again, or these --weights" in done.said


def test_the_list_as_json(run: Run) -> None:
    """One document for each base, with what nobody could read as null."""
    found = {base["name"]: base for base in json.loads(run("bases", "list", "--all", "--json").output)}

    assert found["granite-4.0-1b"]["languages"].startswith("English, German")
    assert found["gemma-3-1b-it"]["languages"] is None
    assert found["qwen3-0.6b"]["tuning"]["bytes"] > 10**9


def test_get_use_and_remove(run: Run, hub: Hub, data: Path) -> None:
    """A base of the list comes by its name, is tuned, and says what depends on it before it goes and after."""
    assert run("tune", data, "--base-model", "qwen3-0.6b").said.endswith("Run `tunery bases get qwen3-0.6b`.\n")
    got = run("bases", "get", "qwen3-0.6b")
    assert (got.status, got.output) == (0, "qwen3-0.6b\n")
    assert "The weights of qwen3-0.6b are on this machine." in got.said
    tuned = run("tune", data, "--no-verdict", "--base-model", "qwen3-0.6b", "--id", "numbers", "--epochs", "1")
    assert tuned.status == 0

    refused = run("bases", "remove", "qwen3-0.6b")
    assert (refused.status, "numbers (numbers) needs it to answer." in refused.said) == (13, True)
    assert "Add --yes" in refused.said
    removed = run("bases", "remove", "qwen3-0.6b", "--yes", "--json")

    assert json.loads(removed.output)["bytes"] > 0
    assert "Those models answer again after: tunery bases get qwen3-0.6b" in removed.said
    assert "not here" in next(line for line in run("bases", "list").output.splitlines() if "qwen3" in line)
    asked = len(hub.asked)
    assert run("bases", "pull", "qwen3-0.6b").status == 0
    assert not [path for path, _ in hub.asked[asked:] if path.startswith("/api/")]  # the recorded revision came


def test_on_a_server(run: Run, hub: Hub, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --server its bases are listed, fetched there, by name or from the hub, and removed."""
    monkeypatch.setenv("TUNERY_TOKEN", live.token)
    there = ("--server", live.address)

    assert [line.split()[0] for line in run("bases", "list", *there).output.splitlines()] == ["NAME", BASE]
    listed = json.loads(run("bases", "list", "--all", "--json", *there).output)
    assert set(offered_bases()) <= {base["name"] for base in listed}
    for name in ("qwen3-0.6b", f"{QWEN}@main"):
        got = run("bases", "get", name, *there)
        assert (got.status, got.output) == (0, "qwen3-0.6b\n"), got.said
        assert f"are on the machine of {live.address}" in got.said
    assert (live.home / "bases" / "qwen3-0.6b" / "model.safetensors").is_file()

    assert "Add --yes" in run("bases", "remove", "qwen3-0.6b", *there).said
    assert json.loads(run("bases", "remove", "qwen3-0.6b", "--yes", "--json", *there).output)["bytes"] > 0
    assert not (live.home / "bases" / "qwen3-0.6b").exists()
    hub.refuses = 503
    refused = run("bases", "get", "qwen3-0.6b", *there)
    assert (refused.status != 0, "status 503. Try again later" in refused.said) == (True, True)


@pytest.mark.parametrize("is_far", [False, True])
def test_ctrl_c_stops_and_the_same_command_goes_on(
    run: Run, hub: Hub, live: Live, monkeypatch: pytest.MonkeyPatch, is_far: bool
) -> None:
    """Here or on a server: what has come is kept, the command says how to go on, and then the rest comes."""
    monkeypatch.setenv("TUNERY_TOKEN", live.token)
    there = ("--server", live.address) if is_far else ()
    interrupts = iter([True])

    def show(_stage: str, done: int, total: int | None) -> None:
        if total and done > 0.3 * total and next(interrupts, False):  # in the middle of the weights
            raise KeyboardInterrupt

    for module in ("models", "workplace"):
        monkeypatch.setattr(f"tunery.cli.{module}.byte_progress", lambda *_: show)
    hub.holds = True
    stopped = run("bases", "get", "qwen3-0.6b", *there)
    hub.holds = False
    hub.go_on.set()
    asked = len(hub.asked)

    assert stopped.status == 130
    assert f"to go on: {' '.join(('tunery bases get qwen3-0.6b', *there))}\n" in stopped.said
    assert "stopped" in run("bases", "list", "--all", *there).output
    assert run("bases", "get", "qwen3-0.6b", *there).status == 0
    assert any(headers.get("Range") for _, headers in hub.asked[asked:])
    assert run("bases", "remove", "qwen3-0.6b", "--yes", *there).status == 0


@pytest.mark.usefixtures("hub")
def test_search(run: Run) -> None:
    """What the hub finds as a table; nothing found is a sentence."""
    assert f"{QWEN}  apache-2.0" in run("bases", "search", "qwen").output
    assert "and 'no such model' in its name" in run("bases", "search", "no", "such", "model").said
    assert "has no text model" in run("bases", "search", "nothing").said


def test_a_fault_is_one_sentence(run: Run, hub: Hub) -> None:
    """Without the hub, the command ends with one sentence and the status of its kind."""
    hub.refuses = 503

    done = run("bases", "get", "qwen3-0.6b")

    assert done.status == 24
    assert done.said.splitlines()[-1].startswith("Error: The hub answered Qwen/Qwen3-0.6B with status 503. Try again")
