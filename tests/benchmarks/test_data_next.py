"""The benchmark of rows to label next: which inputs are chosen, with vectors made by hand, and the table."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from benchmarks.data_next import choose, table, unit

CENTRES = {"a": (9, 0, 0, 0), "b": (0, 9, 0, 0), "c": (0, 0, 9, 0), "d": (0, 0, 0, 9)}


def around(name: str, count: int, seed: int) -> list[list[float]]:
    """Return points near a centre."""
    random = Random(seed)
    return [[value + random.gauss(0, 0.5) for value in CENTRES[name]] for _ in range(count)]


def chosen(labels: str, known: list[list[float]], pool: list[list[float]], count: int) -> list[int]:
    """Return the places chosen; `labels` has one letter for each known vector."""
    vectors: Any = unit([*known, *pool])
    return choose(list(labels), vectors[: len(known)], vectors[len(known) :], count)


def test_what_no_labelled_row_is_like_comes_first() -> None:
    """Two of four groups have labels; the first two rows chosen are one of each of the other groups."""
    pool = around("a", 9, 3) + around("b", 9, 4) + around("c", 9, 5) + around("d", 9, 6)

    found = chosen("xxxyyy", around("a", 3, 1) + around("b", 3, 2), pool, 2)

    assert sorted(place // 9 for place in found) == [2, 3]


def test_a_large_group_comes_before_one_odd_row() -> None:
    """What is typical of many inputs helps more than what is unlike all others."""
    found = chosen("xy", around("a", 1, 1) + around("b", 1, 2), around("c", 20, 3) + around("d", 1, 4), 1)

    assert found[0] < 20


def test_each_row_of_a_small_pool_is_chosen_once() -> None:
    """No more are chosen than there are."""
    found = chosen("xy", around("a", 1, 1) + around("b", 1, 2), around("c", 3, 3), 20)

    assert sorted(found) == [0, 1, 2]


def test_vectors_have_length_one() -> None:
    """Whatever the scale of a dimension, also one that is always the same."""
    np.testing.assert_allclose(np.linalg.norm(unit([[1.0, 500.0, 3.0], [2.0, 100.0, 3.0]]), axis=1), 1)


def test_the_table_has_a_column_for_each_draw() -> None:
    """Both ways below each other, and the mean over the draws."""
    results = [
        {"cell": {"way": way, "draw": draw}, "label": score}
        for draw, scores in enumerate(({"random": 0.7, "chosen": 0.8}, {"random": 0.8, "chosen": 0.8}))
        for way, score in scores.items()
    ]

    shown = table(results)

    assert shown.splitlines()[0] == "| rows | draw 0 | draw 1 | mean |"
    assert "| random | 0.700 | 0.800 | 0.750 ± 0.050 |" in shown
    assert "| chosen | 0.800 | 0.800 | 0.800 ± 0.000 |" in shown


def test_an_unfinished_table_leaves_a_cell_empty() -> None:
    """A draw of which only the random rows are measured."""
    assert "| random | 0.700 | 0.700 ± 0.000 |" in table([{"cell": {"way": "random", "draw": 3}, "label": 0.7}])
