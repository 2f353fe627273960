"""
Make `tests/fixtures/yesterday/`: a data folder as an earlier state of tunery left it, and what must stay true of it.

    python -m tools.yesterday FOLDER    with the interpreter of the state whose data it shall be

Made of public doors: the command, a server, SQLite. `tests/acceptance/test_yesterday.py` opens it with every later
state. Make it again only to add what today's data has; what is in it now must stay readable.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import sys
import tarfile
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.engine.bases.tiny_bases import make_gguf

from tools.place import Place, kill, safetensors, serving

WORK = Path("/tmp/yesterday")  # stands in the records of bases; a path that says nothing of the machine
MIDDLE_STEP = 14
PASSWORD, USER = "correct horse battery", "ann@example.com"
PROMPTS = ["the dog", "an oak", "my cat", "the rose", "a hen", "his moss"]
ANIMALS, PLANTS = ("dog", "cat", "cow", "hen"), ("oak", "fern", "moss", "rose")
PAIRS = [(word, nouns) for word in ("a", "the", "my", "one", "our") for nouns in zip(ANIMALS, PLANTS, strict=True)]
KINDS = [(f"{word} {noun}", kind) for word, (animal, plant) in PAIRS
         for noun, kind in ((animal, "animal"), (plant, "plant"))]  # fmt: skip
SETTINGS = ["--base-model", "tiny", "--learning-rate", "0.02", "--no-verdict", "--yes"]
MIDDLE = ["tune", "kinds.csv", "--id", "middle", "--epochs", "4", "--seed", "5", "--hold-out", "10%", *SETTINGS]
EDITS = (  # so that what was signed in stays so, and no row names the machine
    "UPDATE tokens SET expire_time = '2100-01-01 00:00:00.000000'",
    "UPDATE sessions SET expire_time = '2100-01-01 00:00:00.000000', last_use_time = '2099-12-31 00:00:00.000000'",
    "UPDATE tuning_tasks SET worker = 'laptop (4242)' WHERE worker IS NOT NULL",
)


def main(target: Path) -> None:
    """Make the archive and the expectations in a folder."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "home" / "bases").mkdir(parents=True, mode=0o700)
    place = Place(WORK, "home")
    place.environment["TUNERY_BASE"] = "tiny"
    tune(place)
    expected = {"user": USER, "password": PASSWORD, **people(place), "models": models(place), "middle": middle(place)}
    with closing(sqlite3.connect(place.home / "tunery.sqlite3")) as database:
        for edit in EDITS:
            database.execute(edit)
        database.commit()
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target / "yesterday.tar.xz", "w:xz", preset=6) as archive:
        for name in ("home", "export", "kinds.csv"):
            archive.add(WORK / name, name, filter=_nobody)
    (target / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", "utf-8")


def tune(place: Place) -> None:
    """Make a base, two tuned models, an evaluation report and an export."""
    make_gguf(WORK / "tiny.gguf", scale=0.4)
    (WORK / "kinds.csv").write_text("text_input,output\n" + "".join(f"{text},{kind}\n" for text, kind in KINDS))
    (WORK / "sums.csv").write_text("text_input,output\n" + "".join(f"{n} + 1,{n + 1}\n" for n in range(24)))
    (WORK / "prompts.jsonl").write_text("".join(json.dumps({"text_input": text}) + "\n" for text in PROMPTS))
    done(place, "bases", "add", "tiny.gguf", "--name", "tiny")
    done(place, "bases", "pull", "tiny")
    done(place, "tune", "kinds.csv", "--id", "kinds", "--epochs", "4", "--hold-out", "6", "--seed", "1", *SETTINGS)
    done(place, "tune", "sums.csv", "--id", "sums", "--display-name", "Sums", "--epochs", "3", *SETTINGS)
    done(place, "evaluate", "kinds")
    done(place, "models", "export", "kinds", "--to", "export", "--no-prove")


def people(place: Place) -> dict[str, Any]:
    """Make a user, an API key, a client, a login, a browser's session, a permission and two prompts."""
    done(place, "users", "add", USER, "--password")
    key = done(place, "keys", "create", "--label", "yesterday").strip()
    with serving(place) as (address, token):

        def post(path: str, body: object, **headers: str) -> tuple[Any, Any]:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
            asked = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(asked, timeout=60) as reply:
                return json.loads(reply.read()), reply.headers

        columns = [{"prefix": "input:", "isInput": True}, {"prefix": "output:"}]
        rows = [{"cells": ["the ox", "animal"]}, {"cells": ["the elm", "plant"]}]
        for name in ("Kinds", "Sums"):
            post("/v1beta/prompts", {"displayName": name, "preamble": f"{name}.", "columns": columns, "rows": rows})
        scopes = ["https://www.googleapis.com/auth/generative-language.tuning"]
        login, _ = post("/v1beta/accounts/logins", {"days": 90, "scopes": scopes, "name": "a notebook"})
        client, _ = post("/v1beta/accounts/clients", {"name": "A program", "redirectUris": ["http://127.0.0.1/back"]})
        post("/v1beta/tunedModels/kinds/permissions", {"granteeType": "USER", "emailAddress": USER, "role": "READER"})
        _, headers = post("/signin", {"user": USER, "password": PASSWORD})
    cookie = headers["set-cookie"].partition(";")[0].partition("=")[2]
    return {"key": key, "login": login, "client": client["id"], "session": cookie, "prompts": ["Kinds", "Sums"]}


def models(place: Place) -> dict[str, Any]:
    """Return what is listed of the two tuned models, and what they answer."""
    found = {}
    for name in ("kinds", "sums"):
        shown = json.loads(done(place, "models", "show", name, "--json"))
        task = shown["tuning_task"]
        answers = [answer(place, name, dtype) for dtype in ("float32", "bfloat16")]
        assert answers[0] == answers[1], f"{name} answers differently in bfloat16: {answers}"
        weights = Path(shown["adapter_folder"]) / "adapter_model.safetensors"
        found[name] = {
            "display_name": shown["display_name"],
            "rows": task["data"]["rows"],
            "held_out_rows": task["held_out_rows"],
            "curve": [[point["step"], point["mean_loss"]] for point in task["snapshots"]],
            "epoch_losses": task["epoch_losses"],
            "answers": answers[0],
            "adapter_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        }
    evaluation = json.loads(done(place, "evaluate", "kinds", "--json"))
    found["kinds"]["accuracies"] = {one["name"]: one["figures"][0]["value"] for one in evaluation["contenders"]}
    return found


def answer(place: Place, name: str, dtype: str) -> dict[str, str]:
    place.environment["GATES_DTYPE"] = dtype
    lines = done(place, "generate", name, "--input", "prompts.jsonl", "--max-output-tokens", "12").splitlines()
    place.environment["GATES_DTYPE"] = "float32"
    return {line["text_input"]: line["output"] for line in map(json.loads, lines)}


def middle(place: Place) -> dict[str, Any]:
    """Kill a tuning job in the middle; return its step, and how the job ends when nobody disturbs it."""
    shutil.copytree(place.home, WORK / "other")
    other = Place(WORK, "other")
    shown = json.loads(done(other, *MIDDLE, "--json"))
    weights = Path(shown["adapter_folder"]) / "adapter_model.safetensors"
    checkpoint = kill(place, MIDDLE, MIDDLE_STEP)
    step = json.loads(safetensors(checkpoint)[0]["__metadata__"]["checkpoint"])["step"]
    total = shown["tuning_task"]["total_steps"]
    assert step < total, "The job was killed too late; run again."
    command = {"command": MIDDLE, "checkpoint_step": step, "total_steps": total}
    return {**command, "adapter_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}


def done(place: Place, *arguments: str) -> str:
    ended = place.run(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main(Path(sys.argv[1]))
