"""
Proof that an export answers as the model in memory does: both are asked the same texts.

The answers of the model come from here, those of the export from its own runtime (`exporting/proof.py`). Knows a
resident base and folders; nothing of who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tunery.engine.exporting.proof import ExportProof, Questions, prove
from tunery.engine.resident import ResidentBase
from tunery.types import SamplingSettings

MAX_PROOF_ROWS = 100  # as many answers as two cores give in a minute or two, three times over
MAX_PROOF_TOKENS = 128  # of an answer


def prove_export(
    export_format: str,
    folder: Path,
    resident: ResidentBase,
    slot: int,
    texts: Sequence[str],
    *,
    rows_from: str,
    python: str,
    say: Callable[[str], None],
) -> ExportProof:
    """
    Compare an exported folder with the tuned model in a slot on one text or more.

    `python` is the interpreter that has the runtimes; `say` gets a line before each long part.
    """
    say(f"Asking the served model {len(texts)} {rows_from} rows ...")
    questions = answered(resident, slot, texts)
    say("Asking what was exported, in its own runtime ...")
    proofs = prove(export_format, folder, resident.folder, resident.name, questions, python=python)
    return ExportProof(export_format, len(questions.texts), rows_from, datetime.now(UTC), proofs)


def answered(resident: ResidentBase, slot: int, texts: Sequence[str]) -> Questions:
    """Answer texts as a server would, always with the likeliest token, all up to the same length."""
    window = resident.encoder.window_tokens
    room = min(window - len(resident.encoder.prompt(text)) for text in texts)
    limit = max(1, min(MAX_PROOF_TOKENS, room))
    settings = SamplingSettings(temperature=0.0, max_output_tokens=limit)
    served = resident.answers(texts, settings, slot)
    return Questions(tuple(texts), tuple(served), (limit,) * len(texts))
