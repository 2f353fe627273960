"""
Data curves of tuned models on the wire (extension): measured sizes, and what more rows promise.

The names are those of `engine.evaluation.growth`, in camelCase; docs/evaluation.md says what each number means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunery.server.wire.base import Message
from tunery.server.wire.evaluations import IntervalOut
from tunery.server.wire.inquiries import InquiryOut, common, done_and_total
from tunery.service.reports import Progress


class MeasuredOut(Message):
    """The score, 0 to 1, after tuning on so many rows, on `tested` others."""

    rows: int
    score: float
    tested: int


class PromiseOut(Message):
    """The score to be expected with so many rows, and the gain over the largest size that was measured."""

    rows: int
    score: float
    gain: float
    interval: IntervalOut
    text: str


class DataCurveReportOut(Message):
    """What a data curve says."""

    rows: int
    metric: str
    measured: list[MeasuredOut]
    promises: list[PromiseOut]
    advice: str


class DataCurveOut(InquiryOut):
    """Where the data curve of a tuned model stands: which tuning is at work; `report` is the newest there is."""

    tuning: int | None = None
    tunings: int | None = None
    report: DataCurveReportOut | None = None


class DataCurvesPage(Message):
    """The newest data curve of a tuned model, or nothing."""

    data_curves: list[DataCurveOut] | None


def data_curve_out(name: str, progress: Progress | None, document: Mapping[str, Any] | None) -> DataCurveOut:
    """Return where the data curve of a tuned model stands, with the newest report."""
    tuning, tunings = done_and_total(progress)
    return DataCurveOut(
        **common(f"{name}/dataCurve", progress, document),
        tuning=tuning,
        tunings=tunings,
        report=None if document is None else DataCurveReportOut.model_validate(document),
    )
