"""Tests of `collector`: our own processes look through their objects more seldom, programs that use us do not."""

from __future__ import annotations

import subprocess
import sys

SAY_THRESHOLD = "print(gc.get_threshold()[0])"


def threshold_after(code: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", f"import gc\n{code}\n{SAY_THRESHOLD}"], capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1])


def test_commands_look_more_seldom() -> None:
    command = "from tunery.cli.main import main\ntry: main(['--version'])\nexcept SystemExit: pass"

    assert threshold_after(command) > 10 * threshold_after("")


def test_the_library_leaves_the_collector_alone() -> None:
    assert threshold_after("import tunery, tunery.model") == threshold_after("")
