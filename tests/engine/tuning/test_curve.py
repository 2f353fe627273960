"""Tests of `engine.tuning.curve`: the loss curve as files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from tunery.engine.tuning.curve import JSON_FILE, SVG_FILE, read_curve, svg, write_curve
from tunery.types import EpochLoss, TuningSnapshot

SNAPSHOTS = tuple(
    TuningSnapshot(step, step // 4, 2 / step, datetime(2026, 1, 1, second=step, tzinfo=UTC)) for step in range(1, 13)
)
EPOCHS = (EpochLoss(1, 1.0, 1.1), EpochLoss(2, 0.4, 0.6), EpochLoss(3, 0.2, 0.7))
NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_curve_comes_back_as_it_was(tmp_path: Path) -> None:
    """Steps, losses and times survive the file."""
    write_curve(tmp_path, SNAPSHOTS, EPOCHS)

    assert read_curve(tmp_path) == (SNAPSHOTS, EPOCHS)


def test_folder_without_curve_has_an_empty_one(tmp_path: Path) -> None:
    """An adapter made elsewhere can be loaded."""
    write_curve(tmp_path, (), ())

    assert list(tmp_path.iterdir()) == []
    assert read_curve(tmp_path) == ((), ())


def test_svg_is_a_picture_with_axes_and_a_sentence() -> None:
    """Well-formed, every step on the thin line, every epoch a point, and the summary for who cannot see it."""
    root = ElementTree.fromstring(svg(SNAPSHOTS, EPOCHS))
    lines = {line.get("class"): (line.get("points") or "").split() for line in root.iter(f"{NAMESPACE}polyline")}
    texts = [text.text for text in root.iter(f"{NAMESPACE}text")]

    assert {name: len(points) for name, points in lines.items()} == {"thin": 12, "bold": 3, "held": 3}
    assert root.get("aria-label") == "Loss fell from 1.00 to 0.20 over 3 epochs."
    assert "epoch" in texts
    assert {"0", "1", "2", "3"} <= set(texts)


def test_svg_stays_inside_its_frame() -> None:
    """No point lies outside the view box, whatever the losses."""
    high = (TuningSnapshot(1, 1, 50.0, datetime.now(UTC)),)
    for drawing in (svg(SNAPSHOTS, EPOCHS), svg(high, ())):
        root = ElementTree.fromstring(drawing)
        for line in root.iter(f"{NAMESPACE}polyline"):
            for point in (line.get("points") or "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= 640
                assert 0 <= y <= 320


def test_curve_files_are_beside_each_other(tmp_path: Path) -> None:
    """One for programs, one for eyes."""
    write_curve(tmp_path, SNAPSHOTS, EPOCHS)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([JSON_FILE, SVG_FILE])
