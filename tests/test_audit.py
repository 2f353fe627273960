"""The report on vulnerable packages says "not run" whenever it could not look."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tools.audit import NotRun, vulnerabilities, vulnerable, vulnerable_npm

SAFE = {"name": "a", "version": "1", "vulns": []}
HOLED = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1"}]}


def test_known_vulnerabilities_are_named() -> None:
    """Each is listed with its package; none is an empty list."""
    assert vulnerable({"dependencies": [SAFE, HOLED]}) == ["b 2: PYSEC-1"]
    assert vulnerable({"dependencies": [SAFE]}) == []


@pytest.mark.parametrize(
    "packages", [[], [SAFE, {"name": "c", "skip_reason": "Dependency not found on PyPI"}], [{"name": "c"}]]
)
def test_packages_without_advisories_were_not_looked_at(packages: list[dict[str, Any]]) -> None:
    """A package that was passed over makes the whole check not run, whatever the others say."""
    with pytest.raises(NotRun):
        vulnerable({"dependencies": packages})


def test_a_source_that_cannot_be_reached_is_not_run(tmp_path: Path) -> None:
    """pip-audit without network may say that all is well and exit with 0; what counts is its report."""
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\necho No known vulnerabilities found\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    with pytest.raises(NotRun, match="pip-audit ended with 0"):
        vulnerabilities(tmp_path)


def test_packages_of_the_studio() -> None:
    """npm's report lists them by name; without advisories it has a message instead, which is not 0."""
    assert vulnerable_npm({"vulnerabilities": {"vite": {"range": "<6.0.1", "severity": "high"}}}) == [
        "vite <6.0.1: high"
    ]
    assert vulnerable_npm({"vulnerabilities": {}}) == []
    with pytest.raises(NotRun, match="405 Method Not Allowed"):
        vulnerable_npm({"message": "405 Method Not Allowed", "statusCode": 405})
