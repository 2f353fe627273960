"""The rules of CONTRIBUTING.md on files, functions, imports and comments, measured. They pull both ways."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from statistics import median

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tunery"
# steps of migrations are as long as the change
LATER = [SOURCE / "service" / "migrations"]
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = [path for path in FILES if not any(room in path.parents for room in LATER)]
LIBRARY = [path for path in MODULES if path.name not in ("__init__.py", "__main__.py")]
REFRAIN = re.compile(r"\b[Kk]nows? (?:no|nothing|[^.]{0,80}; no)\b|nothing of\b")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def lines(path: Path) -> int:
    return path.read_text("utf-8").count("\n")


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and lines of each function of a module."""
    found = (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in found]


@cache
def imports() -> dict[Path, set[Path]]:
    """Modules of the package by the modules that import them, wherever the import statement is."""
    by_name = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in FILES}
    importers: dict[Path, set[Path]] = defaultdict(set)
    for path in FILES:
        for node in ast.walk(tree(path)):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for found in names:
                if found in by_name and by_name[found] != path:
                    importers[by_name[found]].add(path)
    return importers


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_are_short_and_modules_say_what_they_are_for(path: Path) -> None:
    """No function above 60 lines, and a docstring at the top."""
    assert [(function, length) for function, length in functions(path) if length > 60] == []
    assert ast.get_docstring(tree(path)) is not None


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_a_file_is_a_subject(path: Path) -> None:
    """40 to 700 lines; below 80 only if more than one module of its own room needs it, or others do."""
    assert 40 <= lines(path) <= 700
    users = imports()[path]
    if lines(path) < 80 and len(users) == 1:
        assert next(iter(users)).parent != path.parent, "fold it into its only importer"


def test_medians() -> None:
    """The median module has 120 to 300 lines, the median function at most 10."""
    assert 120 <= median(map(lines, LIBRARY)) <= 300
    assert median(length for path in MODULES for _, length in functions(path)) <= 10


def test_no_two_modules_of_one_name_in_one_room() -> None:
    """A name is said once per room; a room is a folder right below the package."""
    rooms = Counter((path.relative_to(SOURCE).parts[0], path.stem) for path in LIBRARY if path.parent != SOURCE)
    allowed = {(room, "accounts") for room in ("server", "service")}  # rows, rules and routes of accounts
    allowed |= {("server", resource) for resource in ("datasets", "generation", "openai", "reports")}
    assert {room for room, count in rooms.items() if count > 1} <= allowed  # a resource and its messages in wire
    assert {path.stem for path in FILES} & {"utils", "helpers", "misc", "common"} == set()


def test_tensor_code_is_commented() -> None:
    """At least 3 % of the lines of the engine are comments or carry one."""
    text = [line for path in LIBRARY if path.parent.name == "engine" for line in path.read_text("utf-8").splitlines()]
    assert sum(bool(re.search(r"(?:^|\s)# ", line)) for line in text) >= 0.03 * len(text)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_refrain(path: Path) -> None:
    """A module docstring says what the module is for, not what it does not know."""
    assert REFRAIN.search(ast.get_docstring(tree(path)) or "") is None


def test_no_import_circle() -> None:
    """No module imports itself by way of others, wherever the import statements are."""
    importers = imports()
    waiting = {path: set(importers[path]) for path in FILES}
    while free := [path for path, users in waiting.items() if not users]:
        for path in free:
            del waiting[path]
        for users in waiting.values():
            users.difference_update(free)
    assert sorted(map(name, waiting)) == []
