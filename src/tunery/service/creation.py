"""
From what a user asks of the API to a task in the queue: everything is checked before anything is written.

Repeated requests are told from new ones: by the key the client gives, or because the reply to the same request was
never sent. Knows the library, the catalog and the data rules; no HTTP.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunery.data.dataset import Dataset, hold_out
from tunery.engine.catalog import Catalog
from tunery.errors import (
    DataProblem,
    DatasetInvalid,
    FailedPrecondition,
    InvalidArgument,
    Level,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from tunery.service.library import Library
from tunery.service.requests import TuningRequest
from tunery.types import CatalogEntry, Hyperparameters, SamplingSettings, State, TunedModel

MAX_WAITING_TASKS = 1000
RESERVE_BYTES = 10**9  # free space that must stay, or RESERVE_SHARE of a small disk
RESERVE_SHARE = 0.05

_EXAMPLES = "tuningTask.trainingData.examples.examples"
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks to be tuned, as it came in: exactly one of base and source, names and settings unchecked."""

    user_id: str
    examples: Sequence[tuple[str, str]] = field(repr=False)
    hyperparameters: Hyperparameters
    base_model: str | None = None
    source_tuned_model: str | None = None
    id: str | None = None
    display_name: str | None = None
    description: str = ""
    hold_out: str | int | float = 0
    seed: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    reader_project_numbers: Sequence[int] = ()
    source: str = "request"  # what the user calls the data


class Creation:
    """Takes wishes into the library; one for the whole server, since it knows which replies are on their way."""

    def __init__(self, library: Library, catalog: Catalog) -> None:
        self._library, self._catalog = library, catalog
        self._lock = threading.Lock()
        self._on_their_way: set[str] = set()  # ids of tuned models whose creation has not been answered yet

    def checked(self, wish: Wish) -> TuningRequest:
        """Return the request that a wish amounts to; raises InvalidArgument, NotFound or FailedPrecondition."""
        if not wish.id and not wish.display_name:
            raise InvalidArgument("Either tuned_model_id or display_name must be set.")
        base, source = self._begin_with(wish)
        defaults = SamplingSettings() if source is None else _defaults_of(source)
        given = {name: getattr(wish, name) for name in ("temperature", "top_p", "top_k")}
        sampling = replace(defaults, **{name: value for name, value in given.items() if value is not None})
        dataset = _dataset(wish.examples, wish.source)
        examples, held_out = hold_out(dataset.examples, wish.hold_out, wish.seed)
        asked = (wish.base_model or "").removeprefix("models/")
        return TuningRequest(
            base_model=base.alias_of or base.name,
            base_digest=self._catalog.digest(base.name),
            data=dataset.facts,
            examples=examples,
            hyperparameters=wish.hyperparameters.resolve(),
            id=wish.id or None,
            display_name=wish.display_name or None,
            description=wish.description,
            held_out=held_out,
            seed=wish.seed,
            user_id=wish.user_id,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            reader_project_numbers=tuple(wish.reader_project_numbers),
            source_tuned_model=None if source is None else source.id,
            base_name_asked=source.base_name_asked if source is not None else asked,
        )

    def problems(self, wish: Wish) -> tuple[DataProblem, ...]:
        """Return the warnings about the examples of a wish that was `checked`."""
        return _dataset(wish.examples, wish.source).problems

    def create(self, request: TuningRequest, idempotency_key: str | None = None) -> TunedModel:
        """
        Take a request into the queue, or return what an earlier, unanswered try of it made; then call `answered`.

        Raises AlreadyExists, ResourceExhausted when the queue is full, Unavailable when the disk nearly is.
        """
        self._require_room()
        with self._lock:
            model = self._library.create(
                request, idempotency_key=idempotency_key, is_new=lambda model_id: model_id in self._on_their_way
            )
            self._on_their_way.add(model.id)
        return model

    def answered(self, model: TunedModel, *, was_sent: bool) -> None:
        """Note that the reply to a creation was sent, or could not be: then the same request again is a repetition."""
        try:
            if was_sent:
                self._library.mark_reply_sent(model)
        finally:
            with self._lock:
                self._on_their_way.discard(model.id)

    def _begin_with(self, wish: Wish) -> tuple[CatalogEntry, TunedModel | None]:
        if (wish.base_model is None) == (wish.source_tuned_model is None):
            raise InvalidArgument("Exactly one of base_model and tuned_model_source must be set.")
        if wish.source_tuned_model is not None:
            source = self._library.find(wish.source_tuned_model.removeprefix("tunedModels/"))
            if source.state is not State.ACTIVE:
                raise FailedPrecondition(f"{source.name} is {source.state}; only an ACTIVE model can be tuned further.")
            return self._catalog.resolve(source.base_model), source
        name = str(wish.base_model)
        try:
            return self._catalog.resolve(name), None
        except NotFound:
            full = name if name.startswith("models/") else f"models/{name}"
            raise NotFound(f"{full} is not found for CREATE TUNED MODEL at API version v1beta.") from None

    def _require_room(self) -> None:
        waiting = len(self._library.places_in_queue())
        if waiting >= MAX_WAITING_TASKS:
            raise ResourceExhausted(f"{waiting:,} tuning jobs wait already; the limit is {MAX_WAITING_TASKS:,}.")
        disk = shutil.disk_usage(self._library.folder.path)
        reserve = reserve_bytes(disk.total)
        if disk.free < reserve:
            raise Unavailable(
                f"The disk of the data folder has {disk.free // 10**6} MB left; {reserve // 10**6} MB must stay free."
            )


def reserve_bytes(total_bytes: int) -> int:
    """Return how much of a disk of this size must stay free."""
    return min(RESERVE_BYTES, int(RESERVE_SHARE * total_bytes))


def _dataset(examples: Sequence[tuple[str, str]], source: str) -> Dataset:
    if not examples:
        raise InvalidArgument(
            f"{_EXAMPLES} is empty: there are no examples to tune on."
            " google-genai from 1.47 on leaves them out; send them in extra_body (docs/clients.md)."
        )
    records = [{"text_input": text_input, "output": output} for text_input, output in examples]
    try:
        return Dataset.from_records(records, source=source)
    except DatasetInvalid as error:
        raise _with_paths(error) from error


def _with_paths(error: DatasetInvalid) -> DatasetInvalid:
    """Return the error with the path of the field instead of a row: the caller sent a list, not a file."""
    errors = [problem for problem in error.problems if problem.level is Level.ERROR]
    said = [f"{_path(problem)}: {problem.message}" for problem in errors[:_SHOWN_PROBLEMS]]
    more = f" And {len(errors) - _SHOWN_PROBLEMS:,} more." if len(errors) > _SHOWN_PROBLEMS else ""
    return DatasetInvalid(" ".join(said) + more, error.problems)


def _path(problem: Any) -> str:
    if problem.row is None:
        return _EXAMPLES
    column = {"text_input": ".textInput", "output": ".output"}.get(problem.column, "")
    return f"{_EXAMPLES}[{problem.row - 1}]{column}"


def _defaults_of(model: TunedModel) -> SamplingSettings:
    return SamplingSettings(temperature=model.temperature, top_p=model.top_p, top_k=model.top_k)
