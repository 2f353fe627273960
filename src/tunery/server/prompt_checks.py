"""
The prompt contract at a call: what differs from the examples is said in the reply; plain inputs are wrapped if wanted.

A difference never refuses a call. Knows turns and contracts; nothing of JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastapi import Request
from starlette.responses import Response

from tunery.data.inputs import PromptContract
from tunery.server.questions import Target
from tunery.types import PromptDifference, Turn

HEADER = "x-tunery-prompt-contract"
MAX_HEADER_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class PromptCheck:
    """What was found of a call: the turns to ask, what differs, whether the input was wrapped."""

    turns: tuple[Turn, ...]
    differences: tuple[PromptDifference, ...] = ()
    was_wrapped: bool = False
    has_contract: bool = False

    def tell(self, reply: Response) -> Response:
        """Return the reply with the header that says whether the input looks like the examples."""
        if self.has_contract:
            text = "; ".join(difference.text for difference in self.differences) or "ok"
            said = f"wrapped: {text}" if self.was_wrapped else text
            reply.headers[HEADER] = said.encode("ascii", "backslashreplace").decode()[:MAX_HEADER_CHARACTERS]
        return reply


def checked_call(request: Request, target: Target, turns: Sequence[Turn]) -> PromptCheck:
    """Check what a model is asked, as its settings say, and count what differs in the metrics."""
    contract = None if target.contracts is None else target.contracts.prompt
    check = checked(contract, turns, wraps=target.wraps_plain_inputs)
    request.app.state.metrics.observe_prompt(difference.kind for difference in check.differences)
    return check


def checked(contract: PromptContract | None, turns: Sequence[Turn], *, wraps: bool = False) -> PromptCheck:
    """Check what is asked against a contract, None for a base; `wraps` adds what a plain input lacks."""
    asked = tuple(turns)
    if contract is None:
        return PromptCheck(asked)
    if len(asked) != 1:
        text = "the model was tuned on single questions; this call has a system instruction or several turns"
        return PromptCheck(asked, (PromptDifference("TURNS", text),), has_contract=True)
    text, check = contract.checked(asked[0].text, wraps=wraps)
    return PromptCheck((replace(asked[0], text=text),), check.differences, check.was_wrapped, has_contract=True)
