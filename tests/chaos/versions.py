"""
A team that upgrades one machine after another: two versions of tunery on one PostgreSQL database and one S3 store.

    python -m tests.chaos.versions --requests 1000    # prints one line of JSON

The earlier version is this program; the later one is this program with one more migration. While servers of both run,
clients do what `tests.chaos.servers` does, each request at a server chosen at random; models that are created at either
one are tuned by the earlier version, which is also started again on the tables of the later one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tunery
from tests.chaos.served import Served, wait_until
from tests.chaos.servers import Client, Found
from tests.chaos.template import in_a_new_home
from tests.postgres import serving_postgres
from tests.s3 import serving_s3

READER = "reader@example.com"
ADDS = (
    'op.create_table("labels", sa.Column("name", sa.Text, primary_key=True))',
    'op.add_column("tuned_models", sa.Column("colour", sa.Text))',
    'op.add_column("tuning_tasks", sa.Column("urgency", sa.Integer, nullable=False, server_default="0"))',
    'op.create_index("ix_tuned_models_colour", "tuned_models", ["colour"])',
)
DROPS = ('op.drop_index("ix_tuned_models_colour")', 'op.drop_column("tuned_models", "colour")')
OPTIONS = ("-m", "tunery", "serve", "--port", "0", "--no-evaluation")


@dataclass
class Outcome:
    """What was seen while two versions ran, and what each said where it had to refuse."""

    found: Found = field(default_factory=Found)
    tuned: list[str] = field(default_factory=list)  # models, with the version at which they were created
    refused_while_connected: str = ""
    refused_on_newer_tables: str = ""


def later_version(folder: Path, *steps: str, of: Path | None = None, is_breaking: bool = False) -> Path:
    """
    Make a program in a folder that has one more migration, with these steps; return what PYTHONPATH has to be.

    It comes after this program or the one at `of`, which may work on its tables unless it `is_breaking`.
    """
    source = Path(tunery.__file__).parent if of is None else of / "tunery"
    copied = folder / "tunery"
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"), copy_function=os.symlink)
    module = copied / "service" / "database" / "connection.py"
    text = module.read_text()
    [before] = re.findall(r'^REVISION = "(\d+)"', text, re.MULTILINE)
    after = f"{int(before) + 1:04}"
    module.unlink()
    module.write_text(text.replace(f'REVISION = "{before}"', f'REVISION = "{after}"'))
    lines = ["import sqlalchemy as sa", "from alembic import op", f'revision, down_revision = "{after}", "{before}"']
    lines += [] if is_breaking else [f'oldest_program = "{before}"']
    lines += ["def upgrade():", *(f"    {step}" for step in steps)]
    (copied / "service" / "migrations" / "versions" / f"r{after}_later.py").write_text("\n".join(lines) + "\n")
    return folder


def upgraded_in_turn(requests: int, seed: int = 0) -> Outcome:
    """Run both versions beside each other until clients have made this many requests; then one that nobody can join."""
    outcome = Outcome()
    with a_team() as (environment, homes, work):
        later = later_version(work / "later", *ADDS)
        breaking = later_version(work / "breaking", *DROPS, of=later, is_breaking=True)
        earlier = Served(homes[0], *OPTIONS, environment=environment)
        other = Served(homes[1], *OPTIONS, "--no-tuning", environment={**environment, "PYTHONPATH": str(later)})
        with earlier:
            earlier.ask("POST", "accounts/users", {"id": READER})
            with other:  # updates the tables
                _work([earlier, other], outcome.found, requests // 2, seed)
                outcome.tuned += [_tuned(earlier, "made-here", earlier), _tuned(other, "made-there", earlier)]
                earlier.stop()
                earlier.start()
                _work([earlier, other], outcome.found, requests, seed + 1)
                outcome.tuned.append(_tuned(other, "made-later", earlier))
                outcome.refused_while_connected = _refusal(homes[2], environment, breaking)
        with Served(homes[2], *OPTIONS, environment={**environment, "PYTHONPATH": str(breaking)}) as last:
            outcome.tuned.append(_tuned(last, "made-last", last))
            outcome.refused_on_newer_tables = _refusal(homes[0], environment, None)
    return outcome


@contextmanager
def a_team() -> Iterator[tuple[dict[str, str], list[Path], Path]]:
    """Yield the environment of servers that share a database and a store, three data folders, and a folder."""
    with ExitStack() as stack:
        postgres, bucket = stack.enter_context(serving_postgres()), stack.enter_context(serving_s3())
        environment = {
            "TUNERY_DATABASE_URL": postgres.url(),
            "TUNERY_STORE_URL": f"{bucket}/tunery",
            "TUNERY_BASE": "tiny",
        }
        homes = [stack.enter_context(in_a_new_home()) for _ in range(3)]
        yield environment, homes, Path(stack.enter_context(tempfile.TemporaryDirectory()))


def _work(servers: list[Served], found: Found, requests: int, seed: int) -> None:
    """Let a client act until all have made this many requests."""
    client = Client(f"client-{seed}", servers, found, random.Random(seed))
    while found.requests < requests:
        client.act()


def _tuned(at: Served, model_id: str, by: Served) -> str:
    """Create a tuned model at one server and wait until it is tuned; return its name, as another server shows it."""
    status, reply = at.create(model_id)
    assert status == 200, reply
    wait_until(lambda: by.phase(model_id) in ("SUCCEEDED", "FAILED"), pause=0.2)
    assert by.phase(model_id) == "SUCCEEDED", by.operation(model_id)
    return str(by.ask("GET", f"tunedModels/{model_id}")[1]["name"])


def _refusal(home: Path, environment: dict[str, str], program: Path | None) -> str:
    """Return what a server says that does not start, after its exit status."""
    path = {} if program is None else {"PYTHONPATH": str(program)}
    given = {**os.environ, **environment, **path, "TUNERY_HOME": str(home)}
    done = subprocess.run([sys.executable, *OPTIONS], env=given, capture_output=True, text=True, timeout=120)
    return f"{done.returncode} {done.stderr.strip().splitlines()[-1]}"


def main() -> None:
    """Run the trial with the options of the command line; the exit status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begin = time.monotonic()
    outcome = upgraded_in_turn(given.requests, given.seed)
    said = {"while connected": outcome.refused_while_connected, "on newer tables": outcome.refused_on_newer_tables}
    summary = {**outcome.found.summary(), "tuned": len(outcome.tuned), "refusals": said}
    print(json.dumps({**summary, "seconds": round(time.monotonic() - begin)}))  # noqa: T201
    raise SystemExit(1 if outcome.found.wrong else 0)


if __name__ == "__main__":
    main()
