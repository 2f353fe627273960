"""The table of OWASP ASVS 5.0 is complete: a decision for each requirement, with tests and places that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "asvs.md").read_text("utf-8")
DECISIONS = ("holds", "not applicable", "open")

# the level of each requirement of version 5.0.0, section by section
LEVELS = """
1.1 22, 1.2 1111122223, 1.3 112222222223, 1.4 222, 1.5 123, 2.1 122, 2.2 112, 2.3 12223, 2.4 23, 3.1 3, 3.2 113,
3.3 12223, 3.4 11222233, 3.5 11122333, 3.6 3, 3.7 22333, 4.1 12233, 4.2 23333, 4.3 22, 4.4 1222, 5.1 2, 5.2 112333,
5.3 113, 5.4 222, 6.1 122, 6.2 111111112222, 6.3 11223333, 6.4 112233, 6.5 22222333, 6.6 2223, 6.7 33, 6.8 2222,
7.1 222, 7.2 1111, 7.3 22, 7.4 11222, 7.5 223, 7.6 22, 8.1 1233, 8.2 1123, 8.3 133, 8.4 23, 9.1 111, 9.2 1222, 10.1 22,
10.2 223, 10.3 22223, 10.4 1111122222233333, 10.5 22222, 10.6 22, 10.7 222, 11.1 2233, 11.2 22233, 11.3 11233,
11.4 1222, 11.5 23, 11.6 23, 11.7 33, 12.1 12233, 12.2 11, 12.3 22223, 13.1 2333, 13.2 222223, 13.3 2233,
13.4 1222233, 14.1 22, 14.2 12223333, 14.3 122, 15.1 12233, 15.2 12233, 15.3 1222222, 15.4 3333, 16.1 2, 16.2 22222,
16.3 2222, 16.4 222, 16.5 2223, 17.1 23, 17.2 22223333, 17.3 22
"""

Row = tuple[str, str, str, str, str]  # number, level, subject, decision, evidence

ROWS: list[Row] = re.findall(r"^\| (\d+\.\d+\.\d+) \| (\d) \| (.+?) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)


def required() -> list[tuple[str, str]]:
    """Return number and level of each requirement of level 1 and 2."""
    sections = [section.split() for section in LEVELS.split(",")]
    every = [(f"{name}.{place}", level) for name, levels in sections for place, level in enumerate(levels, 1)]
    assert Counter(level for _, level in every) == {"1": 70, "2": 183, "3": 92}
    return [(number, level) for number, level in every if level < "3"]


def test_each_requirement_has_one_decision() -> None:
    """All 70 of level 1 and 183 of level 2 are there once, in order, with their level."""
    assert [(number, level) for number, level, *_ in ROWS] == required()


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_decision_has_its_evidence(row: Row) -> None:
    """What holds names a test, a place or a reason; what does not has a reason. Subjects have at most six words."""
    _, level, subject, decision, evidence = row
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", evidence)
    reason = re.sub(r"`tests/[\w/]+\.py::\w+`|[,;] ", " ", evidence).strip()

    assert decision in DECISIONS
    assert level == "2" or decision != "open"
    assert len(subject.split()) <= 6
    assert not re.search(r"\bunknown\b", evidence, re.IGNORECASE)
    assert tests or "`" in evidence or is_sentence(reason)
    assert decision == "holds" or is_sentence(evidence)
    assert [f"{path}::{name}" for path, name in tests if name not in functions(path)] == []


def is_sentence(text: str) -> bool:
    return len(text.split()) >= 4 and text.endswith(".")


@cache
def functions(path: str) -> set[str]:
    """Return the functions of a file, none if there is no such file."""
    if not (ROOT / path).is_file():
        return set()
    return {node.name for node in ast.parse((ROOT / path).read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_places_exist() -> None:
    """Files and folders in back quotes are in the repository."""
    places = re.findall(r"`((?:src|docs|studio|tests)/[\w./-]+|[\w.]+\.(?:md|txt|toml))(?:::\w+)?`", PAGE)

    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_counts_are_those_of_the_table() -> None:
    """The summary at the top counts the decisions below."""
    for level in "12":
        counts = Counter(row[3] for row in ROWS if row[1] == level)
        numbers = [str(sum(counts.values())), *(str(counts[decision]) for decision in DECISIONS)]
        assert f"| {level} | {' | '.join(numbers)} |" in PAGE
