"""
Data of other versions: a data folder that an earlier state of tunery left, and one that a newer tunery made.

`tools/yesterday.py` made the folder; `expected.json` beside it says what must stay true.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import safetensors
import safetensors.torch
import torch

import tunery
from tests.acceptance.conftest import Command, adapter_bytes
from tests.live import Live, serving
from tunery.engine.tuner import ENGINE
from tunery.service.library import Library
from tunery.types import State

FIXTURE = Path(__file__).parents[1] / "fixtures" / "yesterday"
EXPECTED: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text("utf-8"))
MIDDLE = EXPECTED["middle"]
TUNING = "https://www.googleapis.com/auth/generative-language.tuning"

Start = Callable[..., Command]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data folder `home`, the export of a tuned model and the rows; to be copied."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(FIXTURE / "yesterday.tar.xz") as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder


@pytest.fixture
def yesterday(unpacked: Path, tmp_path: Path) -> Path:
    """Return a copy of all of it."""
    return shutil.copytree(unpacked, tmp_path / "yesterday")


@pytest.fixture(scope="module")
def live(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server on a copy of the data folder; it goes on with the job in the middle."""
    home = shutil.copytree(unpacked / "home", tmp_path_factory.mktemp("served") / "home")
    with serving(home) as live:
        yield live


@pytest.fixture
def ann(live: Live) -> Iterator[httpx2.Client]:
    """Return a client that shows nothing yet."""
    with httpx2.Client(base_url=live.address, timeout=60, trust_env=False) as client:
        yield client


def test_tuned_models_are_listed(start: Start, yesterday: Path) -> None:
    """All of them, newest first, with rows, curve and the losses of each epoch."""
    listing = start(yesterday / "home", "models", "list", "--json")
    assert listing.wait() == 0, listing.said
    found = json.loads(listing.result)
    assert [(model["name"], model["state"]) for model in found] == [
        ("tunedModels/middle", "CREATING"),
        ("tunedModels/sums", "ACTIVE"),
        ("tunedModels/kinds", "ACTIVE"),
    ]

    for name, wanted in EXPECTED["models"].items():
        showing = start(yesterday / "home", "models", "show", name, "--json")
        assert showing.wait() == 0, showing.said
        shown = json.loads(showing.result)
        task = shown["tuning_task"]
        assert shown["display_name"] == wanted["display_name"]
        assert (task["data"]["rows"], task["held_out_rows"]) == (wanted["rows"], wanted["held_out_rows"])
        assert [[point["step"], point["mean_loss"]] for point in task["snapshots"]] == wanted["curve"]
        assert task["epoch_losses"] == wanted["epoch_losses"]


@pytest.mark.parametrize("name", EXPECTED["models"])
def test_tuned_models_answer_as_yesterday(start: Start, yesterday: Path, name: str) -> None:
    """The adapter is whole, and greedy answers are the same."""
    wanted = EXPECTED["models"][name]
    (yesterday / "prompts.jsonl").write_text(
        "".join(json.dumps({"text_input": text}) + "\n" for text in wanted["answers"])
    )

    asking = start(
        yesterday / "home", "generate", name, "--input", yesterday / "prompts.jsonl", "--max-output-tokens", "12"
    )

    assert asking.wait() == 0, asking.said
    answers = {line["text_input"]: line["output"] for line in map(json.loads, asking.result.splitlines())}
    assert answers == wanted["answers"]
    assert hashlib.sha256(adapter_bytes(yesterday / "home", name)).hexdigest() == wanted["adapter_sha256"]


def test_an_export_is_loaded(yesterday: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exported folder answers as the model it was made of."""
    monkeypatch.setenv("TUNERY_HOME", str(yesterday / "home"))
    wanted = EXPECTED["models"]["kinds"]

    model = tunery.load(yesterday / "export")

    assert (
        dict(zip(wanted["answers"], model.generate(list(wanted["answers"]), max_output_tokens=12), strict=True))
        == (wanted["answers"])
    )


def test_a_job_in_the_middle_goes_on(start: Start, yesterday: Path) -> None:
    """
    The same command goes on at yesterday's checkpoint and makes the adapter of an undisturbed job.

    The same bytes where the processor rounds as the one that wrote the checkpoint did, else nearly the same numbers.
    A checkpoint of an earlier engine is not continued: the job begins again and says why.
    """
    undisturbed = shutil.copytree(yesterday, yesterday.parent / "undisturbed")
    checkpoint = next(undisturbed.glob("home/checkpoints/*"))
    times = _times_of_checkpoint(checkpoint)
    goes_on = _engine_of_checkpoint(checkpoint) == ENGINE
    shutil.rmtree(checkpoint)  # so that it begins anew, in the number format of yesterday
    assert len(times) == MIDDLE["checkpoint_step"]

    for folder in (yesterday, undisturbed):
        command = [str(folder / "kinds.csv") if part == "kinds.csv" else part for part in MIDDLE["command"]]
        again = start(folder / "home", *command, "--resume")
        assert again.wait() == 0, again.said
        is_told = "The checkpoint was made by an earlier engine, which rounds differently" in again.said
        assert is_told == (folder == yesterday and not goes_on), again.said

    resumed, whole = (_curve_times(folder / "home") for folder in (yesterday, undisturbed))
    assert len(resumed) == len(whole) == MIDDLE["total_steps"]
    assert (resumed[: len(times)] == times) == goes_on
    assert not set(times) & set(whole if goes_on else resumed)
    found, wanted = (adapter_bytes(folder / "home", "middle") for folder in (yesterday, undisturbed))
    if hashlib.sha256(wanted).hexdigest() == MIDDLE["adapter_sha256"]:
        assert found == wanted
    else:
        tensors = safetensors.torch.load(wanted)
        for name, tensor in safetensors.torch.load(found).items():
            torch.testing.assert_close(tensor, tensors[name], rtol=0, atol=1e-3)


def test_a_server_goes_on_with_the_job_in_the_middle(live: Live, unpacked: Path) -> None:
    """Without being asked; the steps before the checkpoint are those of yesterday, if its engine made them."""
    with live.client() as client:
        live.wait_until_done(client, client.get("/v1beta/tunedModels/middle").json()["operation"])
        model = client.get("/v1beta/tunedModels/middle").json()

    assert model["state"] == "ACTIVE"
    checkpoint = next(unpacked.glob("home/checkpoints/*"))
    times, found = _times_of_checkpoint(checkpoint), _curve_times(live.home)
    assert len(found) == MIDDLE["total_steps"]
    assert (found[: len(times)] == times) == (_engine_of_checkpoint(checkpoint) == ENGINE)


def test_rows_reports_and_prompts_are_there(live: Live) -> None:
    """Training and held-out rows, the evaluation with its figures, and the prompts of the user at this machine."""
    with live.client() as client:
        for name, wanted in EXPECTED["models"].items():
            for is_held_out in (False, True):
                rows = client.get(f"/v1beta/tunedModels/{name}/examples", params={"heldOut": str(is_held_out).lower()})
                count = wanted["held_out_rows"] if is_held_out else wanted["rows"] - wanted["held_out_rows"]
                assert rows.json()["totalSize"] == count
        report = client.get("/v1beta/tunedModels/kinds:evaluation").json()["report"]
        accuracies = {one["name"]: one["figures"][0]["value"] for one in report["contenders"]}
        prompts = client.get("/v1beta/prompts").json()["prompts"]
        kept = client.get(f"/v1beta/{prompts[0]['name']}").json()

    assert accuracies == EXPECTED["models"]["kinds"]["accuracies"]
    assert sorted(prompt["displayName"] for prompt in prompts) == EXPECTED["prompts"]
    assert kept["rows"][0]["cells"] == ["the ox", "animal"]


def test_a_user_signs_in_and_reads_what_was_shared(ann: httpx2.Client) -> None:
    """With yesterday's password; a wrong one is refused. The shared model is seen, the others are not."""
    wrong = ann.post("/signin", json={"user": EXPECTED["user"], "password": "wrong horse battery"})
    right = ann.post("/signin", json={"user": EXPECTED["user"], "password": EXPECTED["password"]})

    assert (wrong.status_code, right.status_code) == (401, 200)
    seen = ann.get("/v1beta/tunedModels").json()["tunedModels"]
    assert [model["name"] for model in seen] == ["tunedModels/kinds"]


def test_a_browser_stays_signed_in(live: Live, ann: httpx2.Client) -> None:
    """The cookie of yesterday is still good."""
    port = live.address.rpartition(":")[2]
    ann.cookies.set(f"tunery_session_{port}", EXPECTED["session"])

    assert ann.get("/v1beta/accounts/me").json()["user"] == EXPECTED["user"]


def test_a_key_and_a_login_still_work(live: Live, ann: httpx2.Client) -> None:
    """The API key asks the base; the login is renewed once, and its token opens the API; the client is known."""
    with_key = ann.get("/v1beta/models", params={"key": EXPECTED["key"]})
    login = EXPECTED["login"]
    form = {"client_id": login["clientId"], "client_secret": login["clientSecret"]}
    renewed = ann.post(
        "/oauth/token", data={**form, "grant_type": "refresh_token", "refresh_token": login["refreshToken"]}
    )

    assert with_key.status_code == 200
    assert ann.get("/v1beta/models", params={"key": EXPECTED["key"][:-1] + "x"}).status_code in (400, 401)
    assert (renewed.status_code, renewed.json()["scope"]) == (200, TUNING)
    bearer = {"Authorization": f"Bearer {renewed.json()['access_token']}"}
    assert ann.get("/v1beta/tunedModels/kinds", headers=bearer).status_code == 200
    with live.client() as client:
        assert EXPECTED["client"] in [one["id"] for one in client.get("/v1beta/accounts/clients").json()["clients"]]


@pytest.mark.parametrize(
    "command",
    [
        "tune kinds.csv --base-model tiny",
        "generate kinds hello",
        "evaluate kinds",
        "models list",
        "models show kinds",
        "models card kinds",
        "models export kinds --to out",
        "models delete kinds --yes",
        "keys list",
        "users list",
        "backup library.tar",
        "serve --port 0",
    ],
)
def test_a_newer_database_is_refused_at_every_door(start: Start, yesterday: Path, command: str) -> None:
    """One sentence that names file, revision and what to do; exit status 19; the database is left as it is."""
    database = yesterday / "home" / "tunery.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = database.read_bytes()
    words = [str(yesterday / word) if re.search(r"\.csv|\.tar|^out", word) else word for word in command.split()]

    refused = start(yesterday / "home", *words)

    assert refused.wait() == 19, refused.said
    last = refused.said.splitlines()[-1]
    assert last.startswith(f"Error: The database {database} was made by a newer tunery (revision 9999;")
    assert last.endswith("Install the newer tunery, or restore a backup into another TUNERY_HOME.")
    assert "Traceback" not in refused.said
    assert database.read_bytes() == before


def _times_of_checkpoint(folder: Path) -> list[datetime]:
    """Return when each step before a checkpoint was taken."""
    return [datetime.fromisoformat(snapshot[3]) for snapshot in _header_of_checkpoint(folder)["snapshots"]]


def _engine_of_checkpoint(folder: Path) -> int:
    return int(_header_of_checkpoint(folder).get("engine", 1))


def _header_of_checkpoint(folder: Path) -> dict[str, Any]:
    with safetensors.safe_open(folder / "checkpoint.safetensors", framework="pt") as file:
        header: dict[str, Any] = json.loads(file.metadata()["checkpoint"])
    return header


def _curve_times(home: Path) -> list[datetime]:
    with Library.open(home) as library:
        model = library.get("middle")
        assert model.state is State.ACTIVE
        return [snapshot.compute_time for snapshot in model.task.snapshots]
