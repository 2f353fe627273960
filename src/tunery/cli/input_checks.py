"""
What inputs have unlike the examples of the model that is asked: as a field of documents, and as a warning.

An answer is given all the same. Knows what a check found; nothing of models and contracts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tunery.cli import terminal
from tunery.types import InputCheck


def document(check: InputCheck) -> dict[str, Any]:
    """Return the fields that say what differs; none if nothing does."""
    if not check.differences:
        return {}
    found: dict[str, Any] = {"prompt_differences": [asdict(difference) for difference in check.differences]}
    return found | ({"was_wrapped": True} if check.was_wrapped else {})


def warn(check: InputCheck, name: str) -> None:
    """Say how the input of one answer differs, if it does."""
    if not check.differences:
        return
    what = "; ".join(difference.text for difference in check.differences)
    if check.was_wrapped:
        terminal.say(f"The input was asked in the form of the examples, which it had not: {what}.")
    else:
        terminal.say(f"Warning: the input is not like the examples: {what}. The answer may be worse.")
        terminal.say(f"`tunery models show {name}` says what the inputs look like.")


def warn_of_rows(checks: Sequence[InputCheck]) -> None:
    """Say how many of several inputs differ, and how most of them do."""
    differing = [check for check in checks if check.differences]
    if not differing:
        return
    counts = Counter(difference.text for check in differing for difference in check.differences)
    ((most, rows),) = counts.most_common(1)
    wrapped = all(check.was_wrapped for check in differing)
    end = "They were asked in the form of the examples." if wrapped else "Their answers may be worse."
    terminal.say(
        f"Warning: {len(differing)} of {len(checks)} inputs are not like the examples, most often: {most} ({rows})."
        f" {end} prompt_differences says it of each."
    )
