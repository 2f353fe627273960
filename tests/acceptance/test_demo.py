"""The demo as a newcomer starts it, with a tiny random base in place of the default one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_demo_ends_with_the_verdict_and_fails_when_tuning_did_not_help(tmp_path: Path) -> None:
    """A random base learns nothing in 9 steps: the verdict says so in a sentence, and so does the exit status."""
    base = make_folder(tmp_path / "base", max_position_embeddings=1024)
    Catalog(tmp_path / "home").add(str(base), "wide")
    command = [sys.executable, str(DEMO), "wide", "--epochs", "1", "--batch-size", "16"]
    environment = {**os.environ, "TUNERY_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stderr
    assert "loss per step" in done.stderr
    assert done.stdout.count("billing / ") > 0  # expected answers, side by side with those of both models
    assert "Scores on all 54 rows" in done.stdout
    score, words = (
        re.search(rf"(\d+) %  {who}", done.stdout) for who in ("the tuned model", "a word-based classifier")
    )
    assert score
    assert words
    assert int(score[1]) < int(words[1])
    assert re.search("No better than a simple baseline: |Tuning did not help: ", done.stdout)
    assert "tunery generate ticket-labels-" in done.stdout
