"""
Rescue of an old model: its answers to the rows of a dataset, recorded in a file that is gone on with after a stop.

The rows go to the endpoint that is named, and to nobody else. What is recorded already is not asked again. Knows
datasets; the command line shows the progress.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tunery.errors import Unauthenticated
from tunery.old_models.endpoint import MAX_OUTPUT_TOKENS, PER_MINUTE, Blocked, Endpoint, OldModel, Style
from tunery.old_models.recorded import Records, read_recorded
from tunery.types import TuningExample

if TYPE_CHECKING:
    from tunery.data.dataset import Dataset
    from tunery.engine.evaluation.contest import Recorded

KEY_NAME = "RESCUE_API_KEY"


def rescue(
    dataset: Dataset | Iterable[TuningExample],
    *,
    endpoint: str,
    model: str,
    to: str | Path,
    style: str = "openai",
    key_variable: str = KEY_NAME,
    is_bearer: bool = False,
    per_minute: float = PER_MINUTE,
    max_output_tokens: int = MAX_OUTPUT_TOKENS,
    temperature: float = 0.0,
    on_answered: Callable[[int, int], None] = lambda _done, _total: None,
) -> Recorded:
    """
    Record what an old model answers to the inputs of a dataset, in the JSONL file `to`, and return the answers.

    They are another contender: `model.evaluate(dataset, recorded=answers)`. The same call goes on after a stop. The
    key is read from the environment, so that it stands in no notebook; `style` is "openai" or "gemini", and `is_bearer`
    sends a Gemini key as a token. `on_answered` hears of the rows that are recorded, and of all.

    Raises Unauthenticated without a key, InvalidArgument for an endpoint or a setting that cannot be,
    FailedPrecondition if `to` holds other answers, and what the endpoint refuses for good.
    """
    from tunery.data.dataset import Dataset

    rows = (dataset if isinstance(dataset, Dataset) else Dataset.from_records(dataset)).examples
    how = Endpoint(
        endpoint,
        Style.named(style),
        model,
        key_in(key_variable),
        key_variable,
        is_bearer,
        max_output_tokens,
        temperature,
    )
    records = Records(Path(to), model, rows)
    record(records, OldModel(how, per_minute), on_answered)
    return read_recorded(Path(to), rows)


def key_in(variable: str) -> str:
    """Return the key in an environment variable; raises Unauthenticated with its name if there is none."""
    key = os.environ.get(variable, "")
    if not key:
        raise Unauthenticated(f"Set ${variable} to the key of the endpoint.")
    return key


def record(records: Records, old: OldModel, on_answered: Callable[[int, int], None]) -> None:
    """Ask an old model for the answers that are missing, each written as it comes; closes the connection."""
    missing, total = records.missing, len(records.rows)
    with closing(old):
        for done, number in enumerate(missing, start=total - len(missing) + 1):
            try:
                records.add(number, old.ask(records.rows[number - 1].text_input))
            except Blocked as error:
                records.add(number, "", str(error))
            on_answered(done, total)
