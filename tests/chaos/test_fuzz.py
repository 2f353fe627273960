"""A second of each fuzzer of `fuzz.py`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from tests.needs import missing


def test_fuzzers_find_nothing(tmp_path: Path) -> None:
    """Files, ids, masks, page tokens and filters are read or refused; each fuzzer has run its seeds at least."""
    if importlib.util.find_spec("atheris") is None:
        missing("atheris is not installed; it has no wheels for this Python or system")

    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.fuzz", "--seconds", "1"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("nothing found") == 7
