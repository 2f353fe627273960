"""
Run the tests of the compiled step on aarch64, with the library of a wheel, on a machine of another kind.

    python -m tools.arm WHEEL    as root, with debootstrap and qemu-user-static; `make arm` makes the wheel first

Python, torch and the packages that the tests import are those of aarch64; qemu runs their instructions one by one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "arm"
SYSTEM, PACKAGES = WORK / "root", WORK / "packages"
PYTHON = "3.11"  # of this release of Debian
OPTIONS = ["--foreign", "--arch=arm64", "--variant=minbase", f"--include=python{PYTHON},libgomp1"]
TORCH = "torch==2.9.1"  # the last one whose build for aarch64 on PyPI is without CUDA
NEEDED = ROOT / "tools" / "arm.txt"
GLIBC = (17, 24, 26, 27, 28, 31, 34)  # of the tags of wheels
TESTS = ["tests/engine/answers/test_native.py", "tests/engine/test_quantized.py"]


def main(wheel: str) -> int:
    """Return the exit status of pytest."""
    if not (SYSTEM / "usr" / "bin" / f"python{PYTHON}").exists():
        make_system()
    if not (PACKAGES / "torch").exists():
        install_packages()
    with ZipFile(wheel) as archive:
        archive.extractall(PACKAGES)
    return run_tests()


def make_system() -> None:
    """Unpack a Debian of aarch64; nothing of it is run, so it needs no configuration."""
    SYSTEM.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["debootstrap", *OPTIONS, "bookworm", SYSTEM], check=True)
    for package in sorted((SYSTEM / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, SYSTEM], check=True)
        package.unlink()


def install_packages() -> None:
    """Install what the tests import, in the releases of `constraints.txt`."""
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--target", PACKAGES]
    pip += ["--python-version", PYTHON, "--only-binary=:all:", "--no-deps"]
    pip += [f"--platform=manylinux_2_{version}_aarch64" for version in GLIBC] + ["--platform=manylinux2014_aarch64"]
    subprocess.run([*pip, TORCH], check=True)
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", "--requirement", NEEDED], check=True)


def run_tests() -> int:
    python = SYSTEM / "usr" / "bin" / f"python{PYTHON}"
    told = {"PATH": os.environ["PATH"], "HOME": str(WORK), "PYTHONPATH": str(PACKAGES), "OMP_NUM_THREADS": "1"}
    # the fixtures of tests/conftest.py are those of servers, and would import what is not installed
    options = ["-m", "pytest", "--noconftest", "-p", "no:cacheprovider", "-q", "--durations=5", *TESTS]
    command = ["qemu-aarch64-static", "-L", SYSTEM, python, *options]
    return subprocess.run(command, cwd=ROOT, env=told).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
