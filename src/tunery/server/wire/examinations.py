"""
Examinations of tuned models on the wire (extension): which of their own examples are doubtful, and why.

A report has no texts but in its sentences; the examples are joined to it here, for those who may see them.
docs/evaluation.md says what each kind means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunery.server.wire.base import Message, StrictIncoming
from tunery.server.wire.examples import StoredExampleOut
from tunery.server.wire.inquiries import InquiryOut, common, done_and_total
from tunery.service.reports import Progress
from tunery.types import TuningExample


class ExamineIn(StrictIncoming):
    """How to examine: with `foldCount` the base is tuned so many times to find outputs that are likely wrong."""

    fold_count: int | None = None


class FindingOut(Message):
    """A doubtful row, counted from 1 among the examples, and what a fix does: leave it out, or change its output."""

    kind: str
    row: int
    other_row: int | None = None
    held_out_row: int | None = None
    message: str
    is_dropped: bool
    new_output: str | None = None
    score: float | None = None
    example: StoredExampleOut
    other_example: StoredExampleOut | None = None


class KindCountOut(Message):
    """How many findings of a kind there are."""

    kind: str
    findings: int


class ExaminationReportOut(Message):
    """What an examination found; findings, with the texts of rows, are shown to writers only."""

    rows: int
    held_out_rows: int
    fold_count: int | None = None
    counts: list[KindCountOut]
    findings: list[FindingOut]


class ExaminationOut(InquiryOut):
    """Where the examination of a tuned model stands; `report` is the newest there is."""

    examined_rows: int | None = None
    total_rows: int | None = None
    report: ExaminationReportOut | None = None


class ExaminationsPage(Message):
    """The newest examination of a tuned model, or nothing."""

    examinations: list[ExaminationOut] | None


def examination_out(
    name: str,
    progress: Progress | None,
    document: Mapping[str, Any] | None,
    rows: tuple[Sequence[TuningExample], Sequence[TuningExample]] | None,
) -> ExaminationOut:
    """Return where an examination stands; `rows` are examples and held-out rows for who may see texts, else None."""
    done, total = done_and_total(progress)
    return ExaminationOut(
        **common(f"{name}/examination", progress, document),
        examined_rows=done,
        total_rows=total,
        report=None if document is None else _report(document, rows),
    )


def _report(
    document: Mapping[str, Any], rows: tuple[Sequence[TuningExample], Sequence[TuningExample]] | None
) -> ExaminationReportOut:
    found = document["findings"]
    counts = Counter(_kind(finding) for finding in found)
    return ExaminationReportOut(
        rows=document["rows"],
        held_out_rows=document["held_out_rows"],
        fold_count=document.get("folds"),  # reports of the first versions have none
        counts=[KindCountOut(kind=kind, findings=count) for kind, count in counts.most_common()],
        findings=[] if rows is None else [_finding(finding, *rows) for finding in found],
    )


def _finding(
    finding: Mapping[str, Any], examples: Sequence[TuningExample], held_out: Sequence[TuningExample]
) -> FindingOut:
    other = None
    if finding["other_row"] is not None:
        other = examples[finding["other_row"] - 1]
    elif finding["held_out_row"] is not None:
        other = held_out[finding["held_out_row"] - 1]
    return FindingOut(
        **{**finding, "kind": _kind(finding)},
        example=_example(examples[finding["row"] - 1]),
        other_example=None if other is None else _example(other),
    )


def _kind(finding: Mapping[str, Any]) -> str:
    """Return the kind as enums are written on the wire: NEAR_DUPLICATE."""
    return str(finding["kind"]).replace("-", "_").upper()


def _example(example: TuningExample) -> StoredExampleOut:
    return StoredExampleOut(text_input=example.text_input, output=example.output)
