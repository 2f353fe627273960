"""
What a server says of itself (extension): what it is, what it offers, what it is busy with.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tunery.server.wire.base import Message


class DeviceOut(Message):
    """What computes."""

    kind: str
    name: str
    cores: int
    memory_bytes: int | None
    free_memory_bytes: int | None


class LimitsOut(Message):
    """What is refused beyond."""

    request_bytes: int
    text_input_characters: int
    output_characters: int
    prompt_characters: int
    candidates: int
    waiting_tasks: int
    waiting_answers: int


class DefaultBaseOut(Message):
    """The base that API names stand for."""

    name: str
    display_name: str
    description: str
    is_present: bool


class ServerInfoOut(Message):
    """A server; to those who do not say who they are only what they need to sign in."""

    version: str
    sign_in_modes: list[str]
    features: list[str]
    device: DeviceOut | None = None
    limits: LimitsOut | None = None
    default_base: DefaultBaseOut | None = None
    queue_length: int | None = None
    running_tasks: int | None = None
    running_answers: int | None = None
    waiting_answers: int | None = None
    hourly_price: Annotated[str | None, Field(description="Not set: this server asks no price.")] = None


class HealthOut(Message):
    """Whether the server works, and its parts."""

    status: str
    database: bool | None = None
    worker: bool | None = None
    answering: bool | None = None
