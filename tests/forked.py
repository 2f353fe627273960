"""
Children forked from a process that has loaded torch: each starts seconds earlier than those that users get.

    python -m tests.forked serve --port 8000    # `tunery` with such children
"""

from __future__ import annotations

import multiprocessing
import sys

import pytest

from tunery.cli.main import main
from tunery.service import process

LOADED = ["torch", "tunery.model", "tunery.service.worker"]


def fork_children(patch: pytest.MonkeyPatch) -> None:
    """Let all servers of this process start their children so; they get the environment of the first one."""
    multiprocessing.set_forkserver_preload(LOADED)
    patch.setattr(process, "CONTEXT", multiprocessing.get_context("forkserver"))


if __name__ == "__main__":
    fork_children(pytest.MonkeyPatch())
    main(sys.argv[1:])
