"""Commands on a data folder whose database is gone: each refuses in one sentence, and every adapter stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.service.samples import tuned as tuned_in
from tunery.service.library import Library

COMMANDS = (
    "models list",
    "models show one",
    "models card one",
    "models export one --to {0}/export",
    "models delete one --yes",
    "generate one 7",
    "evaluate one",
    "tune {0}/rows.csv --base-model tiny",
    "backup {0}/backup.tar",
    "users list",
    "keys list",
    "keys create",
    "serve --port 0",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_goes_on_without_the_database(
    run: Run, tiny: str, home: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 25 and one sentence; the adapter is where it was, and there is no new database."""
    monkeypatch.setenv("TUNERY_BASE", tiny)
    with Library.own(home) as library:
        adapter = library.adapter_folder(tuned_in(library, id="one"))
    (tmp_path / "rows.csv").write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(20)))
    (home / "tunery.sqlite3").unlink()

    done = run(*command.format(tmp_path).split())

    assert done.status == 25, done.said
    assert "tunery.sqlite3 is missing or empty" in done.said
    assert list(adapter.rglob("*.safetensors"))
    assert not (home / "tunery.sqlite3").exists()
    assert not (tmp_path / "backup.tar").exists()
