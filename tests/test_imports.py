"""What `import tunery` costs: names of heavy libraries that must not be loaded by it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "fastapi", "sqlalchemy", "numpy", "rich", "sklearn", "sacrebleu")


def test_import_loads_nothing_heavy() -> None:
    """The package, its types and its settings load no tensors, no server and no database."""
    code = "import sys, tunery, tunery.types, tunery.errors, tunery.config; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not set(HEAVY) & set(loaded)


def test_unknown_names_are_attribute_errors() -> None:
    """A typing mistake reads as everywhere in Python."""
    code = "import tunery; tunery.tunee"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "has no attribute 'tunee'" in result.stderr
