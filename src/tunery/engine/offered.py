"""
The list of bases that people would choose, in `bases.json` beside this file.

It holds what their makers state. What nobody could read there is null, and revision, sizes and digests are not in it:
they are asked of the hub when a base is fetched for the first time, and stored with the base.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OfferedBase:
    """A base that can be fetched by its name; `parameters` as its maker states them, often rounded."""

    name: str
    repository: str  # on the hub
    display_name: str
    parameters: int
    licence: str
    languages: str | None
    context: int  # tokens
    good_at: str
    gated: bool  # its terms have to be accepted on the hub first
    family: str | None  # model_type in its config.json
    rope_type: str | None  # how it scales its rotary positions
    clock: bool | None  # its template asks for the date
    thinking: bool | None  # its template lets the model think unless told not to


@lru_cache(maxsize=1)
def offered_bases() -> dict[str, OfferedBase]:
    """Return the offered bases by name, in the order of the list."""
    listed = json.loads(Path(__file__).with_name("bases.json").read_text("utf-8"))
    return {facts["name"]: OfferedBase(**facts) for facts in listed}


def offered_as(name: str) -> OfferedBase | None:
    """Return the offered base with a name or a repository; None if there is none."""
    named = offered_bases().get(name)
    return named or next((base for base in offered_bases().values() if base.repository == name), None)
