"""When a promise of a data curve counts as kept."""

from __future__ import annotations

from typing import Any

from benchmarks.data_curve import kept


def test_a_promise_is_kept_within_its_range() -> None:
    """The gain of twice the rows lies within, that of four times as many above; other promises were not tried."""

    def promise(rows: int, low: float, high: float) -> dict[str, Any]:
        return {"rows": rows, "interval": {"low": low, "high": high}}

    curve = {"promises": [promise(120, 0, 1), promise(140, 0.0, 0.2), promise(280, 0.0, 0.1)]}
    result = {"curve": curve, "scores": {"70": 0.5, "140": 0.6, "280": 0.75}}

    assert [(rows, round(gain, 2), is_kept) for rows, _, _, gain, is_kept in kept(result)] == [
        (140, 0.1, True),
        (280, 0.25, False),
    ]
