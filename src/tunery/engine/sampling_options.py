"""
Settings of an answer by name, as the Python library takes them, and what they come to for one model.

The form can be said in four ways, of which one is given. Knows settings and contracts; no tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from tunery.data.inputs import Contracts
from tunery.errors import InvalidArgument
from tunery.types import AnswerForm, SamplingSettings


class SamplingOptions(TypedDict, total=False):
    """Settings of an answer by name; ranges and defaults are those of `types.SamplingSettings`."""

    temperature: float
    top_p: float
    top_k: int | None
    max_output_tokens: int
    stop_sequences: str | Sequence[str]
    seed: int
    form: AnswerForm | None  # or one of the next three, which are short for it
    labels: Sequence[str]
    json_schema: Mapping[str, Any]
    constrain_to_training_outputs: bool
    none_below: float  # with labels, also those of the training outputs


_FORMS = ("form", "labels", "json_schema", "constrain_to_training_outputs")
_OTHERWISE = (*_FORMS, "none_below", "stop_sequences")


def settings_of(options: SamplingOptions, contracts: Contracts | None) -> SamplingSettings:
    """
    Return the settings that options come to for a model with these contracts, None for a base.

    Raises InvalidArgument for a value out of range or two forms, FailedPrecondition if the training outputs have none.
    """
    values = {name: value for name, value in options.items() if name not in _OTHERWISE}
    stops = options.get("stop_sequences", ())
    values["stop_sequences"] = (stops,) if isinstance(stops, str) else tuple(stops)
    return SamplingSettings(**values, form=_form(options, contracts))  # type: ignore[arg-type]


def _form(options: SamplingOptions, contracts: Contracts | None) -> AnswerForm | None:
    given = [name for name in _FORMS if options.get(name) not in (None, False)]
    if len(given) > 1:
        raise InvalidArgument(f"Give one of {', '.join(_FORMS)}, not {' and '.join(given)}.")
    form = _asked_form(options, contracts)
    none_below = options.get("none_below", 0.0)
    if not none_below:
        return form
    if form is None:
        raise InvalidArgument("none_below needs labels, or constrain_to_training_outputs.")
    return replace(form, none_below=none_below)


def _asked_form(options: SamplingOptions, contracts: Contracts | None) -> AnswerForm | None:
    if (labels := options.get("labels")) is not None:
        return AnswerForm(labels=tuple(labels))
    if (schema := options.get("json_schema")) is not None:
        return AnswerForm(json_schema=json.dumps(schema))
    if not options.get("constrain_to_training_outputs"):
        return options.get("form")
    if contracts is None:
        raise InvalidArgument(
            "constrain_to_training_outputs is for tuned models whose training outputs are known;"
            " a base has none, and neither has an adapter made elsewhere."
        )
    return contracts.output.closed_form()
