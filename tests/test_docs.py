"""The docs say what is true: pages that are made from the code are up to date, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "examples/README.md", ROOT / "benchmarks/README.md"]
)


def test_module_page_is_up_to_date() -> None:
    """docs/modules.md is what tools/modules.py writes; run it after adding or renaming a module."""
    assert subprocess.run([sys.executable, ROOT / "tools/modules.py", "--check"], check=False).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file of the repository."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_paths_in_prose_exist() -> None:
    """Every path in back quotes in README, CONTRIBUTING and the design names a file or folder of the repository."""
    missing = []
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/design.md"):
        for path in re.findall(r"`((?:src|tests|docs|benchmarks|examples|tools)/[\w./-]+)`", page.read_text("utf-8")):
            if not (ROOT / path).exists():
                missing.append(f"{page.name}: {path}")
    assert missing == []


def test_commands_of_the_readme_exist() -> None:
    """Every `tunery …` in the README is a command of the command line."""
    known = subprocess.run(
        [sys.executable, "-m", "tunery", "--help"], capture_output=True, text=True, check=True
    ).stdout
    text = (ROOT / "README.md").read_text("utf-8")

    for command in re.findall(
        r"tunery (tune|generate|data|models|bases|serve|doctor|backup|restore|worker|login|keys|users)\b", text
    ):
        assert re.search(rf"^  {command} ", known, re.MULTILINE), command
