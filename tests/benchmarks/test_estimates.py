"""Tests of `benchmarks.estimates`: what its table says of results; its jobs need a real server and much time."""

from __future__ import annotations

import random

from benchmarks import estimates


def result(took: float, left: list[list[float]]) -> dict[str, object]:
    return {"condition": "idle", "at_least": 5.0, "at_most": 20.0, "took": took, "left": left, "others": 0.1}


def test_within_a_factor_of_two() -> None:
    """Of the geometric middle of the range, and of the time left wherever more than a second was left."""
    table = estimates.summary([result(19.0, [[4.0, 7.0], [0.1, 0.5]]), result(21.0, [[2.0, 9.0]])])

    assert "| idle | 1 of 2 | 2.00 (1.90-2.10) | 1 of 2 | 0.1 |" in table
    assert "| all | 1 of 2 |" in table


def test_jobs_differ() -> None:
    """In rows and epochs, within the limit."""
    draw = random.Random(0)
    jobs = [estimates._drawn(draw, 30) for _ in range(10)]

    assert len({len(job.rows) for job in jobs}) > 3
    assert {job.epoch_count for job in jobs} == {1, 2}
    assert all(10 <= len(job.rows) <= 30 for job in jobs)
