"""`tunery doctor`: each thing that is wrong is found, and a machine where nothing is wrong passes."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.engine.tiny_bases import make_gguf
from tests.live import Live
from tests.postgres import Postgres
from tunery.cli.serve import Verdict, client_lines, environment_findings
from tunery.service.database.postgres import up_to_date
from tunery.service.folder import MIGRATED

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove variables from the environment that would misdirect clients."""
    for name in (
        "GOOGLE_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_GEMINI_BASE_URL",
        "TUNERY_DEVICE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("TUNERY_DEVICE", raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """Return a port in use by another program."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def findings(run: Run, *arguments: object) -> tuple[int, dict[str, dict[str, Any]]]:
    done = run("doctor", "--json", *arguments)
    return done.status, {found["subject"]: found for found in json.loads(done.output)["findings"]}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_what_machines_share_is_tried(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Postgres
) -> None:
    """A new database and a store that can be written pass; nothing is left in the store."""
    url = postgres.url()
    monkeypatch.setenv("TUNERY_DATABASE_URL", url)
    monkeypatch.setenv("TUNERY_STORE_URL", (tmp_path / "store").as_uri())
    status, found = findings(run, "--port", free_port())

    assert status == 0
    assert "will make or update its tables" in found["shared database"]["text"]
    assert found["store"]["text"].endswith("a small object was written, read and deleted")
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []

    up_to_date(url).close()
    assert "tables" not in findings(run, "--port", free_port())[1]["shared database"]["text"]


def test_a_folder_whose_library_was_moved_is_right_with_the_new_settings(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Path, postgres: Postgres
) -> None:
    """It has adapters and no database, as that of every further server; without the settings, that is wrong."""
    (home / "models" / "0" / "1").mkdir(parents=True)
    (home / MIGRATED).touch()

    assert "moved to a shared database" in findings(run, "--port", free_port())[1]["data folder"]["text"]
    monkeypatch.setenv("TUNERY_DATABASE_URL", postgres.url())
    status, found = findings(run, "--port", free_port())
    assert (status, found["data folder"]["verdict"]) == (0, Verdict.OK)


def test_what_machines_share_and_cannot_be_reached_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own line; a password is not shown."""
    monkeypatch.setenv("TUNERY_DATABASE_URL", f"postgresql://ann:secret-17@127.0.0.1:{free_port()}/tunery")
    monkeypatch.setenv("TUNERY_STORE_URL", "ftp://somewhere")
    status, found = findings(run, "--port", free_port())

    assert status == 1
    assert found["shared database"]["verdict"] == found["store"]["verdict"] == Verdict.ERROR
    assert "tunery at 127.0.0.1" in found["shared database"]["text"]
    assert "secret-17" not in json.dumps(found)
    assert "TUNERY_STORE_URL must look like" in found["store"]["text"]


def test_a_new_machine_passes(run: Run) -> None:
    """Without data folder and base there is a warning, and exit status 0."""
    status, found = findings(run, "--port", free_port())

    assert status == 0
    assert found["base"]["verdict"] == Verdict.WARNING
    assert "tunery bases get" in found["base"]["text"]
    assert {"versions", "sqlite", "data folder", "disk", "device", "port", "environment"} <= found.keys()


def test_plain_lines_name_the_address(run: Run) -> None:
    """The text has a line per finding, then the settings for clients."""
    port = free_port()

    done = run("doctor", "--port", port)

    assert "ok     versions: tunery 0." in done.output
    assert f"GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:{port}" in done.output


def test_a_taken_port_is_wrong(run: Run, port: int) -> None:
    """Another program at the port is found: exit status 1."""
    status, found = findings(run, "--port", port)

    assert status == 1
    assert "another program" in found["port"]["text"]


def test_a_server_of_another_folder_is_named(run: Run, live: Live) -> None:
    """A tunery server of another data folder at the port is recognised."""
    status, found = findings(run, "--port", live.address.rpartition(":")[2])

    assert status == 1
    assert "a server of another data folder (tunery 0." in found["port"]["text"]


def test_the_server_of_this_folder_is_no_trouble(run: Run, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this folder's own server has the port, it is named and nothing is wrong."""
    monkeypatch.setenv("TUNERY_HOME", str(live.home))

    status, found = findings(run, "--port", live.address.rpartition(":")[2])

    assert status == 0
    assert live.address in found["server"]["text"]
    assert found["database"]["text"] == "intact"


def test_a_full_disk_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than the reserve is an error."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**8))  # type: ignore[attr-defined]

    status, found = findings(run, "--port", free_port())

    assert (status, found["disk"]["verdict"]) == (1, Verdict.ERROR)


def test_a_damaged_database_is_wrong(run: Run, home: Path, tuned: str) -> None:
    """A database with foreign bytes is an error that says to restore it."""
    del tuned
    database = home / "tunery.sqlite3"
    content = bytearray(database.read_bytes())
    content[4096 : len(content) - 4096] = bytes(len(content) - 8192)
    database.write_bytes(content)

    status, found = findings(run, "--port", free_port())

    assert status == 1
    assert any("restore a backup" in one["text"] for one in found.values())


def test_a_missing_database_is_wrong(run: Run, home: Path) -> None:
    """With adapters and without a database, the way back is named."""
    (home / "models" / "one" / "1").mkdir(parents=True)

    status, found = findings(run, "--port", free_port())

    assert status == 1
    assert "is missing or empty" in found["data folder"]["text"]


def test_what_was_set_aside_is_named(run: Run, home: Path) -> None:
    """The warning has the folder and the day from which it may be removed."""
    run("models", "list")
    (home / "models" / "unknown" / "1").mkdir(parents=True)
    run("users", "list")

    status, found = findings(run, "--port", free_port())

    (day,) = (home / "set-aside").iterdir()
    assert (status, found["set aside"]["verdict"]) == (0, Verdict.WARNING)
    assert str(day) in found["set aside"]["text"]
    assert (day / "models" / "unknown" / "1").is_dir()


def test_a_changed_base_is_wrong(run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that changed after they were pulled are an error."""
    run("bases", "add", make_gguf(tmp_path / "tiny.gguf"), "--name", "tiny")
    run("bases", "pull", "tiny")
    monkeypatch.setenv("TUNERY_BASE", "tiny")
    good = findings(run, "--port", free_port())
    with (home / "bases/tiny/model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")

    status, found = findings(run, "--port", free_port())

    assert (good[0], good[1]["base"]["verdict"]) == (0, Verdict.OK)
    assert (status, found["base"]["verdict"]) == (1, Verdict.ERROR)


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("/proc/driver/nvidia/version", "pip install --force-reinstall torch=="),
        ("/dev/dxg", "pip install --force-reinstall torch=="),
        ("/dev/kfd", "a build with ROCm"),
    ],
)
def test_a_graphics_card_that_lies_idle_is_named(
    run: Run, driver: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that torch cannot use is a warning with the line that brings a build that can."""
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == driver or exists(path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    status, found = findings(run, "--port", free_port())

    assert (status, found["device"]["verdict"]) == (0, Verdict.WARNING)
    assert words in found["device"]["text"]


def test_a_graphics_card_that_torch_can_use_is_offered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor computes unless told otherwise; the variable is named."""
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/proc/driver/nvidia/version" or exists(path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")

    _, found = findings(run, "--port", free_port())

    assert found["device"]["verdict"] == Verdict.OK
    assert "NVIDIA H200: set TUNERY_DEVICE=cuda" in found["device"]["text"]


def test_a_device_that_torch_cannot_use_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What TUNERY_DEVICE names is tried."""
    monkeypatch.setenv("TUNERY_DEVICE", "xpu:7")

    status, found = findings(run, "--port", free_port())

    assert (status, found["device"]["verdict"]) == (1, Verdict.ERROR)
    assert "cannot compute on the device xpu:7, from --device or TUNERY_DEVICE" in found["device"]["text"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"GOOGLE_API_KEY": "x"}, "GOOGLE_API_KEY is set"),
        ({"GEMINI_API_KEY": "x"}, "GEMINI_API_KEY is set"),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "true"}, "Google Cloud"),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "/nothing/here.json"}, "a missing file"),
        ({"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}, "names another server"),
        ({"http_proxy": "http://proxy"}, "NO_PROXY"),
    ],
)
def test_variables_that_mislead_clients(environment: dict[str, str], words: str) -> None:
    """Each misleading variable is a warning with its name but not its value."""
    (found,) = environment_findings(environment, ADDRESS)

    assert found.verdict is Verdict.WARNING
    assert words in found.text
    assert "http://proxy" not in found.text


def test_variables_that_are_right() -> None:
    """The server's own address and an exempted proxy are no findings."""
    good = {"GOOGLE_GEMINI_BASE_URL": f"{ADDRESS}/", "http_proxy": "http://proxy", "no_proxy": "localhost,127.0.0.1"}

    assert list(environment_findings(good, ADDRESS)) == []


def test_lines_for_clients() -> None:
    """Every client has a line with the address."""
    lines = client_lines(ADDRESS)

    assert len(lines) == 5
    assert all(ADDRESS in line for line in lines[1:])
