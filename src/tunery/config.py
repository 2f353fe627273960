"""
The data folder and the settings that come from environment variables.

They are read once at the entry point (command line, server start, Python call) and passed down as values.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs


def data_folder() -> Path:
    """Return the data folder: `$TUNERY_HOME`, or else the platform's user data folder. It is not created."""
    given = os.environ.get("TUNERY_HOME")
    return Path(given).expanduser().absolute() if given else Path(platformdirs.user_data_dir("tunery", appauthor=False))


@dataclass(frozen=True, slots=True)
class Shared:
    """
    What several machines share; with None, the database is a file in the data folder, and adapters are stored there
    too.
    """

    database_url: str | None = None  # of a PostgreSQL database
    store_url: str | None = None  # of an object store


ALONE = Shared()


def shared() -> Shared:
    """Return the addresses that several machines share: `$TUNERY_DATABASE_URL` and `$TUNERY_STORE_URL`."""
    return Shared(os.environ.get("TUNERY_DATABASE_URL") or None, os.environ.get("TUNERY_STORE_URL") or None)


def server_address() -> str | None:
    """Return the server that commands talk to: `$TUNERY_SERVER`; None to work on the data folder."""
    return os.environ.get("TUNERY_SERVER") or None


def server_token() -> str | None:
    """Return the token that commands send to that server: `$TUNERY_TOKEN`."""
    return os.environ.get("TUNERY_TOKEN") or None


def default_base_model() -> str:
    """
    Return the base that API names such as gemini-1.5-flash-001-tuning stand for: `$TUNERY_BASE`, else the embedded one.
    """
    from tunery.types import DEFAULT_BASE_MODEL

    return os.environ.get("TUNERY_BASE") or DEFAULT_BASE_MODEL


def device() -> str:
    """
    Return the device that computes: `$TUNERY_DEVICE`, such as cpu, cuda, cuda:1, mps or auto, by default cpu.

    auto is the graphics card if torch can compute on one, else the CPU.
    """
    return os.environ.get("TUNERY_DEVICE") or "cpu"


def choose_device(name: str | None) -> str | None:
    """Let this process and its children compute on a device, as `$TUNERY_DEVICE` does; None changes nothing."""
    if name is not None:
        os.environ["TUNERY_DEVICE"] = name
    return name


def proof_python() -> str:
    """
    Return the Python that runs PEFT, transformers or llama.cpp to prove exports: `$TUNERY_PROOF_PYTHON`, else this one.
    """
    return os.environ.get("TUNERY_PROOF_PYTHON") or sys.executable


# new objects before the youngest generation is collected; younger collections before an older one
_THRESHOLDS, _SETTLED_THRESHOLDS = (50_000, 10, 10), (10_000, 10, 10)


def relax_garbage_collector() -> None:
    """Run this process's garbage collector less often."""
    gc.set_threshold(*_THRESHOLDS)


def settle_garbage_collector() -> None:
    """
    Leave what exists now out of later collections, which are then quick enough to run more often; for a process that
    has loaded everything and goes on for days.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SETTLED_THRESHOLDS)
