"""
Examples of a tuned model on the wire (extension): those it was tuned on, or those that were held out.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tunery.server.wire.base import Message


class StoredExampleOut(Message):
    """An example."""

    text_input: str
    output: str
    rendered: Annotated[
        str | None, Field(description="As the base read it, with template and special tokens; only on request.")
    ] = None


class StoredExamplesPage(Message):
    """A page of examples, in the order in which they came."""

    examples: list[StoredExampleOut] | None
    total_size: int
    next_page_token: str | None
