"""Our own processes run the garbage collector less often, programs that use us do not."""

from __future__ import annotations

import subprocess
import sys

SAY_THRESHOLD = "print(gc.get_threshold()[0])"


def threshold_after(code: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", f"import gc\n{code}\n{SAY_THRESHOLD}"], capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1])


def test_commands_collect_less_often() -> None:
    command = "from tunery.cli.main import main\ntry: main(['--version'])\nexcept SystemExit: pass"

    assert threshold_after(command) > 10 * threshold_after("")


def test_a_settled_process_leaves_out_what_it_has_loaded() -> None:
    """So that its collections stay quick; garbage made later is still found."""
    code = (
        "import weakref\nfrom tunery.config import settle_garbage_collector as settle\nsettle()\n"
        "class Node: pass\nnode = Node(); node.self = node; seen = weakref.ref(node); del node; gc.collect()\n"
        "assert seen() is None and gc.get_freeze_count() > 1_000"
    )

    assert threshold_after("") < threshold_after(code) < 50_000


def test_the_library_leaves_the_collector_alone() -> None:
    assert threshold_after("import tunery, tunery.model") == threshold_after("")
