"""
The child that draws a data curve: tunes on parts of a tuned model's rows, and measures on rows that no part holds.

The tunings are those of the Python library; nothing of them is kept. Knows rows and settings; nothing of SQL or HTTP.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tunery.service.children.inquiring import Progressed, find_out
from tunery.service.children.process import Line
from tunery.types import Hyperparameters, TuningExample


@dataclass(frozen=True, slots=True)
class Work:
    """To the child: draw the curve of these rows."""

    base_model: str
    hyperparameters: Hyperparameters
    seed: int
    data_folder: Path
    rows: tuple[TuningExample, ...] = field(repr=False)


def main(line: Line) -> None:
    """Draw one curve."""
    find_out(line, lambda work: _drawn(line, work))


def _drawn(line: Line, work: Work) -> dict[str, Any]:
    from tunery.resampling import SHARES, Repeated, data_curve

    os.environ["TUNERY_HOME"] = str(work.data_folder)  # where the Python library finds its bases
    line.send(Progressed(1, len(SHARES)))
    how = Repeated(
        work.base_model,
        work.hyperparameters,
        work.seed,
        lambda number, _snapshot: line.send(Progressed(number, len(SHARES))),
    )
    return {"rows": len(work.rows), **asdict(data_curve(work.rows, repeated=how))}
