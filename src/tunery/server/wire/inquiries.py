"""
What all inquiries about tuned models have in common on the wire (extension): state, progress, error and time.

Evaluations have names of their own for the progress, which came first. Knows progress and documents; no reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tunery.server.wire.base import Message, Timestamp
from tunery.service.reports import Progress


class InquiryErrorOut(Message):
    """Why the last inquiry came to nothing."""

    code: int
    message: str


class InquiryOut(Message):
    """RUNNING with its progress, FAILED with its error, or SUCCEEDED; a report is the newest there is."""

    name: str
    state: str
    error: InquiryErrorOut | None = None
    create_time: Timestamp | None = None


def common(name: str, progress: Progress | None, document: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields of an inquiry that is called `name`, but for progress and report."""
    error = None if progress is None else progress.error
    return {
        "name": name,
        "state": "SUCCEEDED" if progress is None else progress.state,
        "error": None if error is None else InquiryErrorOut(code=error.code, message=str(error)),
        "create_time": None if document is None else datetime.fromisoformat(document["create_time"]),
    }


def done_and_total(progress: Progress | None) -> tuple[int | None, int | None]:
    """Return how much is done and how much there is, None when nothing runs."""
    if progress is None or progress.state != "RUNNING":
        return None, None
    return progress.done, progress.total
