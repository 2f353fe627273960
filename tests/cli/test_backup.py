"""`tunery backup` and `tunery restore`: a model answers the same from its backup."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.live import BASE, TUNED, Live

QUESTION = ("7", "--max-output-tokens", "8")


def test_a_restored_model_gives_the_same_text(
    run: Run, live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backed up while a server tunes and answers, restored elsewhere: every greedy answer is the same."""
    monkeypatch.setenv("TUNERY_HOME", str(live.home))
    before = run("generate", TUNED, *QUESTION)
    with live.client() as client:
        busy = threading.Thread(target=live.tune, args=(client, "beside", 20), kwargs={"epochCount": 40})
        busy.start()
        done = run("backup", tmp_path / "library.tar")
        busy.join()
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "elsewhere"))
    restored = run("restore", tmp_path / "library.tar")
    after = run("generate", TUNED, *QUESTION)

    assert done.status == 0, done.said
    assert done.output == f"{tmp_path / 'library.tar'}\n"
    assert restored.status == 0, restored.said
    assert before.status == after.status == 0, after.said
    assert after.output == before.output
    assert BASE in run("bases", "list").output


def test_json_says_what_is_in_it(run: Run, tuned: str, tmp_path: Path) -> None:
    """With --json there is one document."""
    document = json.loads(run("backup", tmp_path / "b.tar", "--json").output)

    assert tuned == "numbers"
    assert (document["tuned_models"], document["adapters"]) == (1, 1)
    assert document["path"] == str(tmp_path / "b.tar")


def test_a_library_is_not_overwritten(run: Run, tuned: str, tmp_path: Path) -> None:
    """Restoring into a folder with tuned models ends with 16 and leaves them."""
    run("backup", tmp_path / "b.tar")

    assert run("restore", tmp_path / "b.tar").status == 16
    assert run("models", "show", tuned).status == 0


def test_a_damaged_adapter_is_named(run: Run, tuned: str, home: Path, tmp_path: Path) -> None:
    """Status 25 and the id, after everything else was saved."""
    next(home.glob("models/*/*/adapter_model.safetensors")).write_bytes(b"changed")

    done = run("backup", tmp_path / "b.tar")

    assert done.status == 25
    assert f"Files of {tuned} have changed or are missing" in done.said
    assert done.output == f"{tmp_path / 'b.tar'}\n"
