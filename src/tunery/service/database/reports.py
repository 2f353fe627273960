"""
Reports about tuned models as rows: what was found out about a model, one document of each kind, the newest.

A kind is a word in capitals (EVALUATION, PROMPT_CONTRACT, EXPORT_GGUF); the document is plain JSON. What stands in it
is known to who wrote it, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from tunery.service.database.tables import reports


def put(connection: Connection, tuned_model_id: str, kind: str, document: Mapping[str, Any]) -> None:
    """Keep a report; one of the same kind that is there gives way."""
    which = (reports.c.tuned_model_id == tuned_model_id) & (reports.c.kind == kind)
    row = {"tuned_model_id": tuned_model_id, "kind": kind, "document": dict(document)}
    connection.execute(delete(reports).where(which))
    connection.execute(insert(reports).values(**row, create_time=datetime.now(UTC)))


def get(connection: Connection, tuned_model_id: str, kind: str) -> dict[str, Any] | None:
    """Return the document of the report of a kind, None if there is none."""
    which = (reports.c.tuned_model_id == tuned_model_id) & (reports.c.kind == kind)
    document: dict[str, Any] | None = connection.scalar(select(reports.c.document).where(which))
    return document


def all_of(connection: Connection, tuned_model_id: str) -> dict[str, dict[str, Any]]:
    """Return all documents of a tuned model by their kind."""
    statement = select(reports.c.kind, reports.c.document).where(reports.c.tuned_model_id == tuned_model_id)
    return {row.kind: row.document for row in connection.execute(statement.order_by(reports.c.kind))}
