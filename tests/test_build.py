"""Tests of `hatch_build`: the compiled step is made when its library is missing or of another source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hatch_build
from tunery.engine import compiled as library


@pytest.fixture
def root(tmp_path: Path) -> Path:
    source = tmp_path / hatch_build.STEP
    source.parent.mkdir(parents=True)
    source.write_text("int one(void) { return 1; }\n")
    return tmp_path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Compile nothing: the library holds the digest alone; return the digests in the order of compilation."""
    digests: list[str] = []

    def compile_step(root: Path) -> None:
        digests.append(hatch_build.step_digest(root))
        (root / hatch_build.LIBRARY).write_bytes(b"\x7fELF" + digests[-1].encode() + b"\0")

    monkeypatch.setattr(hatch_build, "compile_step", compile_step)
    return digests


def test_compiles_once_for_a_source(root: Path, compiled: list[str]) -> None:
    hatch_build.make_step(root)
    hatch_build.make_step(root)
    assert len(compiled) == 1


def test_compiles_again_when_the_source_changed(root: Path, compiled: list[str]) -> None:
    hatch_build.make_step(root)
    (root / hatch_build.STEP).write_text("int one(void) { return 2; }\n")
    hatch_build.make_step(root)
    assert len(set(compiled)) == 2


def test_knows_a_source_by_the_name_under_which_it_is_loaded(root: Path) -> None:
    assert hatch_build.step_digest(root) == library.source_digest((root / hatch_build.STEP).parent)


def test_notices_are_those_of_the_packages_in_the_studio(tmp_path: Path) -> None:
    """Licences of what is only used to build it are left out, as are packages for other systems."""
    packages = {
        "": {"name": "studio"},
        "node_modules/shown": {"version": "1.2", "license": "MIT"},
        "node_modules/shown/node_modules/inner": {"version": "3.0"},
        "node_modules/builder": {"version": "4.5", "license": "MIT", "dev": True},
        "node_modules/elsewhere": {"version": "6.7", "license": "MIT", "optional": True},
    }
    studio = tmp_path / "studio"
    for place in ("shown", "shown/node_modules/inner", "builder"):
        (studio / "node_modules" / place).mkdir(parents=True, exist_ok=True)
        (studio / "node_modules" / place / "LICENSE.md").write_text(f"licence of {place}")
    (studio / "package-lock.json").write_text(json.dumps({"packages": packages}))
    (tmp_path / hatch_build.NOTICES).parent.mkdir(parents=True)

    hatch_build.write_notices(tmp_path)

    text = (tmp_path / hatch_build.NOTICES).read_text("utf-8")
    assert "shown 1.2: MIT\n\nlicence of shown" in text
    assert "inner 3.0: licence not stated\n\nlicence of shown/node_modules/inner" in text
    assert "builder" not in text
    assert "elsewhere" not in text
