"""How large files and functions may grow, and what every module must say: the rules of CONTRIBUTING.md, measured."""

from __future__ import annotations

import ast
from itertools import chain
from pathlib import Path
from statistics import median

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tunery"
MODULES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in MODULES]


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and lines of each function of a module."""
    tree = ast.parse(path.read_text("utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in found]


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_module_is_small_and_says_what_it_does(path: Path) -> None:
    """At most 700 lines, no function above 60, and a docstring at the top."""
    text = path.read_text("utf-8")

    assert text.count("\n") <= 700
    assert [(name, lines) for name, lines in functions(path) if lines > 60] == []
    assert ast.get_docstring(ast.parse(text)) is not None


def test_medians_are_low() -> None:
    """The median module has at most 300 lines and the median function at most 10."""
    assert median(path.read_text("utf-8").count("\n") for path in MODULES) <= 300
    assert median(lines for _, lines in chain.from_iterable(map(functions, MODULES))) <= 10


def test_no_drawer_for_odds_and_ends() -> None:
    """A module is named after the one thing it holds."""
    assert {path.stem for path in MODULES} & {"utils", "helpers", "misc", "common"} == set()
