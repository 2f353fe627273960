"""Calibration: a temperature that fits unseen rows, figures measured with it, and what they are good for."""

from __future__ import annotations

import math
from random import Random

import pytest

from tunery.evaluation.calibration import (
    LEAST_ROWS,
    calibrate,
    calibration_error,
    cells,
    read_calibration,
    reliability,
    scaled,
    sentence,
)
from tunery.evaluation.report import Calibration

LABELS = ("a", "b", "c")


def drawn(rows: int, too_sure: float, seed: int = 0) -> tuple[list[str], list[dict[str, float]]]:
    """Return right labels and the probabilities of a model that is that many times too sure of itself."""
    random = Random(seed)
    expected, chances = [], []
    for _ in range(rows):
        true = scaled({label: math.exp(random.gauss(0, 1.5)) for label in LABELS}, 1.0)
        expected.append(random.choices(LABELS, list(true.values()))[0])
        chances.append(scaled(true, 1 / too_sure))
    return expected, chances


def calibrated(rows: int, too_sure: float) -> Calibration:
    found = calibrate(*drawn(rows, too_sure))
    assert found is not None
    return found


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_was_too_sure(too_sure: float) -> None:
    """It is found from 2,000 rows to a tenth, and the probabilities are then true to three points."""
    found = calibrated(2_000, too_sure)

    assert found.temperature == pytest.approx(too_sure, rel=0.1)
    assert found.error < 0.03
    assert (found.uncalibrated_error > 0.1) is (too_sure != 1)


@pytest.mark.parametrize(("too_sure", "most"), [(1.0, 0.05), (2.0, 0.08)])
def test_few_rows_do_not_spoil_what_is_true(too_sure: float, most: float) -> None:
    """
    A temperature of 20 rows leaves true probabilities nearly true and makes others truer, on rows it has not seen.
    """
    errors = []
    for seed in range(40):
        found = calibrate(*drawn(LEAST_ROWS, too_sure, seed))
        assert found is not None
        expected, chances = drawn(1_000, too_sure, seed=100 + seed)
        told = [scaled(each, found.temperature) for each in chances]
        pairs = [
            (max(each.values()), max(each, key=each.__getitem__) == want)
            for each, want in zip(told, expected, strict=True)
        ]
        errors.append(calibration_error(pairs))

    assert sum(errors) / len(errors) < most


def test_no_answer_changes() -> None:
    """The order of the labels stays, and the sum is 1."""
    before = {"a": 0.2, "b": 0.7, "c": 0.1}

    for temperature in (0.2, 1.0, 4.0):
        after = scaled(before, temperature)
        assert sorted(after, key=after.__getitem__) == ["c", "a", "b"]
        assert sum(after.values()) == pytest.approx(1)
    assert scaled({"a": 1.0, "b": 0.0}, 2.0)["a"] == pytest.approx(1)


def test_a_model_without_mistakes_is_not_certain() -> None:
    """Twenty right answers do not show that the next one is right."""
    found = calibrate(["a"] * 20, [{"a": 0.9, "b": 0.1}] * 20)

    assert found is not None
    assert 0.9 < scaled({"a": 0.9, "b": 0.1}, found.temperature)["a"] < 0.99


def test_each_row_is_judged_with_the_temperature_of_others() -> None:
    """The figures are worse than those with the temperature that was fitted on all rows."""
    expected, chances = drawn(30, 4.0)
    found = calibrate(expected, chances)
    assert found is not None

    seen = [scaled(each, found.temperature) for each in chances]
    brier = sum(
        (each[label] - (label == want)) ** 2 for each, want in zip(seen, expected, strict=True) for label in LABELS
    )

    assert found.brier > brier / len(expected)


def test_a_label_that_it_cannot_give_is_wrong() -> None:
    """A row of an unknown label counts as a mistake, in the figures and in the temperature."""
    sure = [{"a": 0.99, "b": 0.01}] * 40

    right, wrong = calibrate(["a"] * 40, sure), calibrate(["a"] * 20 + ["z"] * 20, sure)

    assert right is not None
    assert wrong is not None
    assert wrong.temperature > right.temperature
    assert wrong.brier > 0.5
    assert wrong.thresholds[0].right == pytest.approx(0.5)


def test_too_few_rows_are_not_measured() -> None:
    """One row less than LEAST_ROWS gives nothing."""
    assert calibrate(*drawn(LEAST_ROWS - 1, 1.0)) is None
    assert calibrate(*drawn(LEAST_ROWS, 1.0)) is not None


def test_thresholds_answer_fewer_rows_more_often_right() -> None:
    """Above 90 % fewer are answered than above 50 %, and more of them are right."""
    low, *_, high = calibrated(2_000, 3.0).thresholds

    assert low.answered > high.answered > 0
    assert low.right is not None
    assert high.right is not None
    assert high.right > low.right
    assert high.right == pytest.approx(0.97, abs=0.03)


def test_the_error_is_the_gap_between_confidence_and_truth() -> None:
    """None where three of four answers given with 75 % are right; all of it where none of the certain ones is."""
    assert calibration_error([(0.75, True)] * 3 + [(0.75, False)]) == pytest.approx(0)
    assert calibration_error([(1.0, False)] * 5) == 1


def test_the_bins_are_what_the_error_is_made_of() -> None:
    """Each has its rows, their mean confidence and the share that is right; empty ones are left out."""
    pairs = [(0.72, True), (0.78, False), (1.0, True), (0.31, False)]

    low, middle, high = reliability(pairs)

    assert (low.rows, low.probability, low.right) == (1, 0.31, 0.0)
    assert (middle.rows, middle.probability, middle.right) == (2, pytest.approx(0.75), 0.5)
    assert (high.rows, high.right) == (1, 1.0)
    assert calibration_error(pairs) == pytest.approx((0.31 + 2 * 0.25) / 4)
    assert sum(each.rows for each in calibrated(100, 2.0).bins) == 100


@pytest.mark.parametrize(
    ("error", "uncalibrated", "said"),
    [
        (0.05, 0.12, "5 points off on average, measured on 100 rows; they are corrected with a temperature of 1.50,"
         " without which it would be 12 points."),
        (0.26, 0.19, "26 points off on average, measured on 100 rows; they are corrected with a temperature of 1.50,"
         " but these rows are better off without it, at 19 points."),
        (0.012, 0.008, "1 point off on average, measured on 100 rows; they are corrected with a temperature of 1.50,"
         " which changes nothing on these rows."),
    ],
)  # fmt: skip
def test_the_sentence_says_whether_the_temperature_helped(error: float, uncalibrated: float, said: str) -> None:
    """Better, worse or the same, in rounded points."""
    from dataclasses import replace

    found = replace(calibrated(100, 2.0), temperature=1.5, error=error, uncalibrated_error=uncalibrated)

    assert f"The probabilities of labels are {said}" in sentence(found)


def test_it_can_be_read_back_and_told() -> None:
    """A report keeps it as plain values; the sentence has the figures, the table a line for each threshold."""
    from dataclasses import asdict, replace

    found = calibrated(100, 2.0)

    assert read_calibration(asdict(found)) == found
    earlier = {name: value for name, value in asdict(found).items() if name != "bins"}
    assert read_calibration(earlier) == replace(found, bins=())
    assert "on 100 rows" in sentence(found)
    assert [row[0] for row in cells(found)] == ["50%", "60%", "70%", "80%", "90%", "95%"]
