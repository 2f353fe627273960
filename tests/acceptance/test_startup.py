"""What starting the command costs: no heavy library is loaded before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.tiny_bases import make_folder

HEAVY = {"torch", "transformers", "fastapi", "sqlalchemy", "alembic", "numpy", "rich"}


@pytest.mark.parametrize(
    "code",
    [
        "import tunery",
        "from tunery.cli.main import main; main(['--help'])",
        "from tunery.cli.main import main; main(['tune', '--help'])",
        "from tunery.cli.main import main; main(['--version'])",
        "from tunery.cli.main import main; main(['data', 'preview', 'no-such-file.csv'])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    """Importing the package, help, version and an early error load none of the heavy libraries."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('LOADED', *sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert HEAVY.isdisjoint(done.stdout.rpartition("LOADED")[2].split())


def test_service_does_not_load_torch() -> None:
    """The library and the worker can be imported without tensors."""
    script = "import sys, tunery.service.task, tunery.service.export; assert 'torch' not in sys.modules"

    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_tuning_answering_and_exports_do_without_what_starts_slowly(tmp_path: Path) -> None:
    """transformers and torch's compiler take longer to import than all of tuning's own start."""
    base = make_folder(tmp_path / "tiny")
    script = f"""
import sys, tunery
model = tunery.tune([("1", "2"), ("3", "4")], base_model={str(base)!r}, epoch_count=1)
model.generate("1", max_output_tokens=3)
for form in ("adapter", "merged", "gguf"):
    model.export({str(tmp_path)!r} + "/" + form, format=form)
assert "torch" in sys.modules
for heavy in ("transformers", "torch._dynamo"):
    assert heavy not in sys.modules, heavy + " was imported"
"""
    environment = {**os.environ, "TUNERY_HOME": str(tmp_path / "home")}

    subprocess.run([sys.executable, "-m", "tunery", "bases", "add", str(base)], env=environment, check=True)
    done = subprocess.run(
        [sys.executable, "-c", script.replace(repr(str(base)), "'tiny'")],
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    """A pipe closed by its reader, such as `head`, causes no traceback."""
    done = subprocess.run(
        f"{sys.executable} -m tunery tune --help | true", shell=True, stderr=subprocess.PIPE, text=True
    )

    assert "Traceback" not in done.stderr
