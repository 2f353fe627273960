"""The demo as a newcomer starts it, with a tiny random base in place of the default one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_demo_counts_right_answers_and_fails_when_tuning_did_not_help(tmp_path: Path) -> None:
    """A random base learns nothing in 9 steps: both models get 0 of 54, and the status says so."""
    base = make_folder(tmp_path / "base", max_position_embeddings=1024)
    Catalog(tmp_path / "home").add(str(base), "wide")
    command = [sys.executable, str(DEMO), "wide", "--epochs", "1", "--batch-size", "16"]
    environment = {**os.environ, "TUNERY_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stderr
    assert "Right of 54:  tuned 0   base 0" in done.stdout
    assert "tunery generate ticket-labels-" in done.stdout
