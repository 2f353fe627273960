"""A few minutes of a small department in simulated time, with every kind of fault."""

from __future__ import annotations

import pytest

from benchmarks.scale.book import Book
from benchmarks.scale.department import FAULTS, Size, lived

SMALL = Size(
    hours=0.02,
    workers=4,
    tasks=400,
    rows=20,
    minutes=0.4,
    adapters=6,
    answers=4,
    look_seconds=4,
    resident=3,
    on_disk=5,
    faults=1,
)


def test_nothing_acknowledged_is_lost_whatever_breaks() -> None:
    """Workers, servers, database and bucket fail in turn: every task ends once, and no answer is of another adapter."""
    found = lived(SMALL)

    assert found["examples"] == []
    assert found["models acknowledged"] > SMALL.adapters
    assert found["done"]["right answers"] > 100
    assert set(FAULTS) <= set(found["done"])


def test_the_book_notices_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the answers are swapped, each of them is reported."""
    judge = Book.judge_answer
    monkeypatch.setattr(Book, "judge_answer", lambda book, model_id, answer: judge(book, model_id, f"{answer}0"))
    found = lived(Size(hours=0.002, workers=1, tasks=0.1, adapters=2, answers=5, faults=0))

    assert found["wrong"] > 0
    assert found["done"]["answers of a wrong adapter"] > 0
