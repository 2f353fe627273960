"""Every kind of problem that the reader of data files can find has words of its own in the Studio."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKERS = {"DataProblem", "warning", "invalid", "BadCell", "RecordError", "tell", "_lacking"}
KIND = re.compile(r"[a-z]+(-[a-z]+)*")
# Made from parts or passed on, and so not written beside the name of a maker.
PASSED_ON = {"kind", "error.kind", "first.kind", "cell.kind", "dialect.kind"}
COMPOSED = {"f'empty-{part}'": ("empty-input", "empty-output"), "f'long-{part}'": ("long-input", "long-output")}
OF_THE_PAGE = {"refused"}  # what the page itself says of rows that the server refuses


def first_arguments() -> Iterator[ast.expr]:
    """What stands first in each call that makes a problem."""
    for path in (ROOT / "src" / "tunery" / "data").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in MAKERS and not isinstance(node.args[0], ast.Starred):
                    yield node.args[0]


def kinds_of_the_reader() -> set[str]:
    found: set[str] = {"other-fields", "quotes"}  # see `_align` and `_Dialect`
    for argument in first_arguments():
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            assert KIND.fullmatch(argument.value), argument.value
            found.add(argument.value)
        elif (written := ast.unparse(argument)) not in PASSED_ON:
            found.update(COMPOSED[written])
    return found


def kinds_of_the_page() -> set[str]:
    words = (ROOT / "studio" / "src" / "components" / "create" / "problemKinds.ts").read_text("utf-8")
    return set(re.findall(r'^ {2}"?([a-z-]+)"?:', words, re.MULTILINE))


def test_every_kind_of_problem_has_words() -> None:
    """The page never shows the name of a kind, and has no words that nothing needs."""
    of_the_reader = kinds_of_the_reader()

    assert len(of_the_reader) > 80
    assert kinds_of_the_page() == of_the_reader | OF_THE_PAGE
