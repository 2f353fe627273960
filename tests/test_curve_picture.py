"""The loss curve as an SVG chart."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from tests.test_curve import EPOCHS, SNAPSHOTS
from tunery.curve import svg
from tunery.types import TuningSnapshot

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_the_chart_has_axes_and_a_description() -> None:
    """Every step is on the thin line, every epoch is a point, and screen readers get the summary."""
    root = ElementTree.fromstring(svg(SNAPSHOTS, EPOCHS))
    lines = {line.get("class"): (line.get("points") or "").split() for line in root.iter(f"{NAMESPACE}polyline")}
    texts = [text.text for text in root.iter(f"{NAMESPACE}text")]

    assert {name: len(points) for name, points in lines.items()} == {"thin": 12, "bold": 3, "held": 3}
    assert root.get("aria-label") == "Loss fell from 1.00 to 0.20 over 3 epochs."
    assert "epoch" in texts
    assert {"0", "1", "2", "3"} <= set(texts)


def test_the_mark_says_what_it_was_measured_by() -> None:
    """Not "best": another epoch may be in use, chosen by its user or because this one is ruined."""
    texts = [text.text for text in ElementTree.fromstring(svg(SNAPSHOTS, EPOCHS)).iter(f"{NAMESPACE}text")]

    assert "lowest held-out loss" in texts
    assert not any("best" in (text or "") for text in texts)


def test_the_chart_stays_inside_its_frame() -> None:
    """No point is outside the view box, whatever the losses."""
    high = (TuningSnapshot(1, 1, 50.0, datetime.now(UTC)),)
    for drawing in (svg(SNAPSHOTS, EPOCHS), svg(high, ())):
        root = ElementTree.fromstring(drawing)
        for line in root.iter(f"{NAMESPACE}polyline"):
            for point in (line.get("points") or "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= 640
                assert 0 <= y <= 320


def test_a_cancelled_task_is_drawn_to_its_last_step() -> None:
    """Steps after the last finished epoch are to the right of its point."""
    root = ElementTree.fromstring(svg(SNAPSHOTS[:10], EPOCHS[:2]))
    lines = {line.get("class"): (line.get("points") or "").split() for line in root.iter(f"{NAMESPACE}polyline")}

    assert float(lines["thin"][7].split(",")[0]) == float(lines["bold"][1].split(",")[0])
    assert float(lines["thin"][9].split(",")[0]) > float(lines["bold"][1].split(",")[0])


def test_ticks_are_round_numbers() -> None:
    """The loss axis counts in steps of 1, 2 or 5."""
    root = ElementTree.fromstring(svg(SNAPSHOTS, EPOCHS))
    texts = [text.text for text in root.iter(f"{NAMESPACE}text")]

    assert [tick for tick in ("0", "0.5", "1", "1.5", "2") if tick in texts] == ["0", "0.5", "1", "1.5", "2"]
