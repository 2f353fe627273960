"""
Problems of data as lines: grouped by kind, the first rows of each and how many there are.

Knows DataProblems; nothing of files or terminals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from tunery.errors import DataProblem, Level

ROWS_PER_KIND = 5


def lines(problems: Sequence[DataProblem]) -> Iterator[str]:
    """Return a line for each problem, errors first; of a kind that many rows have, a few and the number of the rest."""
    for level in (Level.ERROR, Level.WARNING):
        groups: dict[tuple[str, str | None], list[DataProblem]] = {}
        for problem in problems:
            if problem.level is level:
                groups.setdefault((problem.kind, problem.column), []).append(problem)
        for group in groups.values():
            yield from _group(level, group)


def counted(problems: Sequence[DataProblem]) -> str:
    """Return how many there are: "2 errors, 1 warning", or "no problems"."""
    numbers = {level: sum(problem.level is level for problem in problems) for level in Level}
    parts = [f"{count} {level}{'s' if count > 1 else ''}" for level, count in numbers.items() if count]
    return ", ".join(parts) or "no problems"


def as_json(problems: Sequence[DataProblem]) -> list[dict[str, object]]:
    return [asdict(problem) for problem in problems]


def _group(level: Level, group: Sequence[DataProblem]) -> Iterator[str]:
    label = f"{level.capitalize()}:"
    for problem in group[:ROWS_PER_KIND]:
        yield f"{label:<8}  {problem}"
    more = len(group) - ROWS_PER_KIND
    if more > 0:
        rows = [str(problem.row) for problem in group[ROWS_PER_KIND : 2 * ROWS_PER_KIND]]
        dots = ", ..." if more > ROWS_PER_KIND else ""
        yield f"{'':<8}  {more:,} more like this, in rows {', '.join(rows)}{dots}"
