"""Bases over HTTP: the list, downloads that are started, stopped and gone on with, faults, removal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.engine.tiny_bases import make_folder, make_gguf
from tests.hub import Hub, hub_of
from tests.server.api import BASE, Api, error_of
from tests.service.samples import write_adapter
from tunery.engine import fetch, memory
from tunery.engine.catalog import Catalog
from tunery.engine.offered import offered_bases
from tunery.service import creation
from tunery.service.access import CLOUD_PLATFORM
from tunery.service.creation import product_rate
from tunery.service.tuning import Progress
from tunery.types import Phase

QWEN, NAME = "Qwen/Qwen3-0.6B", "qwen3-0.6b"
PLACE = f"/v1beta/bases/{NAME}"
MAX_WAIT_SECONDS = 60


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a hub on which a tiny base stands for one of the list, and another one for any other model."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.001)
    folder = make_folder(tmp_path / "shown")
    with hub_of({QWEN: folder, "tiny-labs/Other": folder}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def admin(api: Api) -> Iterator[TestClient]:
    """Return an administrator; what was fetched is removed afterwards."""
    yield api.client("local", CLOUD_PLATFORM)
    api.services.downloads.close()
    for entry in Catalog(api.library.folder.path, BASE).entries():
        if entry.source.startswith("hub:") and not entry.alias_of:
            api.services.catalog.remove(entry.name)


def until(client: TestClient, holds: Callable[[dict[str, Any]], object], path: str = PLACE) -> dict[str, Any]:
    """Poll a base until something holds, and return it."""
    give_up = time.monotonic() + MAX_WAIT_SECONDS
    while not holds(found := client.get(path).json()):
        assert time.monotonic() < give_up, found
        time.sleep(0.01)
    return dict(found)


def test_everybody_lists_what_there_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bases that are here and those of the list, with licence and fit, also for a key; paths are not told."""
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * 10**9)
    monkeypatch.setattr(memory, "total_memory", lambda: 4 * 10**9)
    keyed = api.client(key=api.accounts.keys.create("a key")[1])

    found = {base["name"]: base for base in keyed.get("/v1beta/bases").json()["bases"]}

    assert set(offered_bases()) <= set(found)
    assert (found[BASE]["isPresent"], found[BASE]["isDefault"], "place" in found[BASE]) == (True, True, False)
    listed = found[NAME]
    assert (listed["licence"], listed["place"], listed["isPresent"]) == ("Apache-2.0", QWEN, False)
    assert (listed["tuning"]["fit"], listed["tuning"]["weights"], listed["answering"]["fit"]) == (
        "yes",
        "8bit",
        "tight",
    )
    assert found["qwen3-4b-instruct-2507"]["tuning"]["fit"] == "no"
    assert "weights" not in found[BASE]["tuning"]
    assert "languages" not in found["gemma-3-1b-it"]
    assert error_of(api.client().get("/v1beta/bases"))["code"] == 403


def test_fetch_stop_go_on_remove(api: Api, admin: TestClient, hub: Hub) -> None:
    """A download is polled, keeps what came when it is stopped, goes on from there, and the base can be used."""
    hub.holds = True
    assert admin.post(f"{PLACE}:fetch").json()["download"]["state"] == "RUNNING"
    running = until(admin, lambda base: base["download"]["doneBytes"] > 0)
    assert running["download"]["totalBytes"] == running["downloadBytes"] > running["download"]["doneBytes"]
    assert error_of(admin.delete(PLACE))["message"] == f"{NAME} is being fetched. Stop that first."

    admin.post(f"{PLACE}:stop")
    hub.holds = False
    hub.go_on.set()
    stopped = until(admin, lambda base: base["download"]["state"] == "STOPPED")
    assert (stopped["isPresent"], stopped["download"]["doneBytes"] > 0) == (False, True)

    admin.post(f"{PLACE}:fetch")
    here = until(admin, lambda base: base["isPresent"])
    assert "download" not in here
    assert any(headers.get("Range") for _, headers in hub.asked)
    assert api.web.get(f"/v1beta/models/{NAME}").json()["isPresent"]

    assert admin.delete(PLACE).json()["bytes"] > 0
    assert not admin.get(PLACE).json()["isPresent"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"refuses": 503}, "status 503. Try again later"),
        ({"gated": {QWEN}}, "is gated: accept its terms on"),
        ({"wrong": {"model.safetensors"}}, "instead of"),
    ],
)
def test_a_fault_is_told_and_fetching_again_goes_on(
    admin: TestClient, hub: Hub, fault: dict[str, Any], sentence: str
) -> None:
    """The reason is in the download until somebody presses again."""
    for name, value in fault.items():
        setattr(hub, name, value)
    admin.post(f"{PLACE}:fetch")
    failed = until(admin, lambda base: base["download"]["state"] == "FAILED")
    assert sentence in failed["download"]["error"]

    hub.refuses, hub.gated, hub.wrong = 0, set(), set()
    admin.post(f"{PLACE}:fetch")

    assert "download" not in until(admin, lambda base: base["isPresent"])


@pytest.mark.usefixtures("hub")
def test_a_model_of_the_hub_is_searched_and_added(admin: TestClient) -> None:
    """What the hub finds can be added by its name and fetched; anything else is refused with the reason."""
    assert admin.get("/v1beta/bases:search", params={"query": "other"}).json() == {
        "models": [{"repository": "tiny-labs/Other", "licence": "apache-2.0", "downloads": 7}]
    }
    added = admin.post("/v1beta/bases", json={"source": "tiny-labs/Other"}).json()
    assert (added["name"], added["isPresent"]) == ("other", False)
    admin.post("/v1beta/bases/other:fetch")
    until(admin, lambda base: base["isPresent"], "/v1beta/bases/other")

    assert error_of(admin.get("/v1beta/bases:search"))["code"] == 400
    assert "The hub has no a/b" in error_of(admin.post("/v1beta/bases", json={"source": "a/b"}))["message"]
    for source in ("", "http://127.0.0.1/a/b", "../a/b", "models/base.gguf/x"):
        assert "not the name of a model" in error_of(admin.post("/v1beta/bases", json={"source": source}))["message"]
    assert error_of(admin.post("/v1beta/bases/unknown:fetch"))["code"] == 404


def test_a_folder_or_file_on_the_server_is_added(api: Api, admin: TestClient, tmp_path: Path) -> None:
    """A folder is used in place, a GGUF file is converted; only administrators may, and are told the place."""
    folder, file = make_folder(tmp_path / "own"), make_gguf(tmp_path / "small.gguf")
    writer = api.client("somebody@example.com", CLOUD_PLATFORM)
    assert error_of(writer.post("/v1beta/bases", json={"source": str(folder)}))["code"] == 403

    added = admin.post("/v1beta/bases", json={"source": str(folder), "name": "my-own"}).json()
    assert (added["name"], added["isPresent"], added["place"]) == ("my-own", True, str(folder))
    assert "place" not in writer.get("/v1beta/bases/my-own").json()
    assert admin.post("/v1beta/bases", json={"source": str(file)}).json()["isPresent"] is False
    admin.post("/v1beta/bases/small:fetch")
    until(admin, lambda base: base["isPresent"], "/v1beta/bases/small")

    for name in ("my-own", "small"):
        admin.delete(f"/v1beta/bases/{name}")
    assert (folder / "model.safetensors").is_file()
    assert file.is_file()


def test_other_paths_are_refused(api: Api, admin: TestClient, tmp_path: Path) -> None:
    """Other files, what is missing, what cannot be read, and the data folder, also through a link, are no bases."""
    own = api.library.folder.path
    (tmp_path / "link").symlink_to(own / "bases")
    refused = {
        "/etc/passwd": "is not a GGUF file",
        "/no/such/place": "There is no /no/such/place",
        str(tmp_path): "has no model.safetensors",
        f"/{'x' * 300}": "cannot be read on this server",
        "/a\0b": "cannot be read on this server",
        str(own): "is in the data folder",
        str(own / "bases" / BASE): "is in the data folder",
        str(tmp_path / "link" / BASE): "is in the data folder",
        f"{tmp_path}/../{tmp_path.name}/link": "is in the data folder",
    }
    for source, sentence in refused.items():
        error = error_of(admin.post("/v1beta/bases", json={"source": source}))
        assert error["code"] in (400, 404)
        assert sentence in error["message"]


def test_the_speed_to_expect_is_measured_scaled_or_guessed(
    api: Api, admin: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last tasks with a base; else from those with another one, by size; else from a measured product."""
    assert product_rate() == product_rate() > 0
    monkeypatch.setattr(creation, "product_rate", lambda: 240e9)
    guessed = {base["name"]: base["speed"] for base in admin.get("/v1beta/bases").json()["bases"]}
    assert {speed["source"] for speed in guessed.values()} == {"guess"}
    assert guessed["qwen3-0.6b"]["tokensPerSecond"] == 100.0  # 4 operations for each of 600 million parameters
    task = api.running("fast", steps=19, base_model=BASE)  # one a second
    api.library.heartbeat(task, Phase.PUBLISHING)
    progress = Progress(step=19, settings={"epoch_tokens": 3000})
    api.library.finish(task, Phase.SUCCEEDED, progress, published=api.library.folder.publish(task, write_adapter))

    found = {base["name"]: base["speed"] for base in admin.get("/v1beta/bases").json()["bases"]}

    rate = 3000 * 5 / 19
    assert found[BASE] == {"tokensPerSecond": pytest.approx(rate, rel=0.01), "source": "measured"}
    assert (found["qwen3-0.6b"]["source"], found["qwen3-0.6b"]["scaledFrom"]) == ("scaled", BASE)
    parameters = admin.get(f"/v1beta/bases/{BASE}").json()["parameters"]
    assert found["qwen3-0.6b"]["tokensPerSecond"] == pytest.approx(rate * parameters / 600e6, abs=0.06)
    api.clear()


def test_what_depends_on_a_base_is_named(api: Api, admin: TestClient, hub: Hub) -> None:
    """Removal is refused with the names, done with force, and then the same revision can be fetched again."""
    admin.post(f"{PLACE}:fetch")
    until(admin, lambda base: base["isPresent"])
    api.active("needing", base_model=NAME, display_name="Needs it")

    assert admin.get(PLACE).json()["dependents"] == [{"name": "tunedModels/needing", "displayName": "Needs it"}]
    assert "dependents" not in api.web.get(PLACE).json()
    assert "is the base of Needs it" in error_of(admin.delete(PLACE))["message"]
    assert admin.delete(PLACE, params={"force": "true"}).json()["bytes"] > 0
    asked = len(hub.asked)
    admin.post(f"{PLACE}:fetch")
    until(admin, lambda base: base["isPresent"])
    assert not [path for path, _ in hub.asked[asked:] if path.startswith("/api/")]

    api.running("tuning-now", base_model=NAME)
    assert "is being tuned" in error_of(admin.delete(PLACE, params={"force": "true"}))["message"]
    api.clear()


def test_no_more_than_a_few_at_a_time(admin: TestClient, hub: Hub, tmp_path: Path) -> None:
    """A fourth download is refused until another has ended or is stopped; the same one again is not a second."""
    hub.holds = True
    names = ["smollm2-360m-instruct", "qwen3-1.7b", "olmo-2-1b-instruct", NAME]
    hub.repositories |= {offered_bases()[name].repository: tmp_path / "shown" for name in names}
    replies = [admin.post(f"/v1beta/bases/{name}:fetch") for name in (*names[:3], names[0])]
    assert [reply.status_code for reply in replies] == [200] * 4

    refused = error_of(admin.post(f"{PLACE}:fetch"))

    assert (refused["code"], refused["message"]) == (429, "3 bases are being fetched. Wait for one, or stop one.")
