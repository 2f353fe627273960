"""
The child that examines: loads a tuned model, and looks for doubtful rows among its own examples.

The losses take a forward pass for each row, which would hold up the answers of the answering child. What is doubtful is
decided in `engine.surgery`. Knows folders and rows; nothing of SQL or HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunery.service.children.inquiring import Progressed, find_out
from tunery.service.children.process import Line
from tunery.service.publish import open_published
from tunery.types import TuningExample


@dataclass(frozen=True, slots=True)
class Work:
    """To the child: examine what a model was tuned on; its adapter is named by folder and digest of the manifest."""

    base_model: str
    data_folder: Path
    adapter: tuple[Path, str]
    examples: tuple[TuningExample, ...] = field(repr=False)
    held_out: tuple[TuningExample, ...] = field(repr=False)


def main(line: Line) -> None:
    """Examine once."""
    find_out(line, lambda work: _examined(line, work))


def _examined(line: Line, work: Work) -> dict[str, Any]:
    from tunery.engine.adapter import read_adapter
    from tunery.engine.bases.catalog import Catalog
    from tunery.engine.bases.token_counts import token_counts
    from tunery.engine.model import Model, loaded_base
    from tunery.engine.surgery import surgery

    resident = loaded_base(work.base_model, work.data_folder)
    entry = Catalog(work.data_folder).resolve(work.base_model)
    found = surgery(
        work.examples,
        model=Model(resident, read_adapter(open_published(*work.adapter), resident.network)),
        held_out=work.held_out,
        token_counts=token_counts(entry, work.data_folder, work.examples),
        window_tokens=entry.input_token_limit,
        learned=work.examples,
        on_rows=lambda done, total: line.send(Progressed(done, total)),
    )
    return {
        "rows": len(work.examples),
        "held_out_rows": len(work.held_out),
        "findings": [finding.document(lambda place: place + 1) for finding in found],
    }
