"""
Creation of tuned models through the API: everything is checked before anything is written.

A request counts as a repetition if it has the idempotency key of an earlier one, or equals one whose reply was never
sent.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
from tunery.service.tuning import TuningRequest
from tunery.types import CatalogEntry, Hyperparameters, SamplingSettings, State, TunedModel

MAX_WAITING_TASKS = 1000
RESERVE_BYTES = 10**9  # must stay free; on a small disk RESERVE_SHARE of it
RESERVE_SHARE = 0.05

_EXAMPLES = "tuningTask.trainingData.examples.examples"
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class CreationRequest:
    """A request as received, unchecked; exactly one of `base_model` and `source_tuned_model` must be set."""

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
    """Checks requests and queues them; one for the whole server, since it tracks which replies are being sent."""

    def __init__(self, library: Library, catalog: Catalog) -> None:
        self._library, self._catalog = library, catalog
        self._lock = threading.Lock()
        self._unanswered: set[str] = set()  # ids of tuned models whose reply is still being sent

    def checked(self, wanted: CreationRequest) -> TuningRequest:
        """Return the checked request; raise InvalidArgument, NotFound or FailedPrecondition."""
        if not wanted.id and not wanted.display_name:
            raise InvalidArgument("Either tuned_model_id or display_name must be set.")
        base, source = self._begin_with(wanted)
        defaults = SamplingSettings()
        if source is not None:
            defaults = SamplingSettings(temperature=source.temperature, top_p=source.top_p, top_k=source.top_k)
        given = {name: getattr(wanted, name) for name in ("temperature", "top_p", "top_k")}
        sampling = replace(defaults, **{name: value for name, value in given.items() if value is not None})
        dataset = _dataset(wanted.examples, wanted.source)
        examples, held_out = hold_out(dataset.examples, wanted.hold_out, wanted.seed)
        asked = (wanted.base_model or "").removeprefix("models/")
        return TuningRequest(
            base_model=base.alias_of or base.name,
            base_digest=self._catalog.digest(base.name),
            data=dataset.facts,
            examples=examples,
            hyperparameters=wanted.hyperparameters.resolve(),
            id=wanted.id or None,
            display_name=wanted.display_name or None,
            description=wanted.description,
            held_out=held_out,
            seed=wanted.seed,
            user_id=wanted.user_id,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            reader_project_numbers=tuple(wanted.reader_project_numbers),
            source_tuned_model=None if source is None else source.id,
            base_name_asked=source.base_name_asked if source is not None else asked,
        )

    def problems(self, wanted: CreationRequest) -> tuple[DataProblem, ...]:
        """Return the warnings about the examples of a request that was `checked`."""
        return _dataset(wanted.examples, wanted.source).problems

    def create(self, request: TuningRequest, idempotency_key: str | None = None) -> TunedModel:
        """
        Queue a request, or return the model that an earlier, unanswered try of it made; then call `answered`.

        Raises AlreadyExists, ResourceExhausted if the queue is full, Unavailable if the disk is nearly full.
        """
        self._require_room()
        with self._lock:
            model = self._library.create(
                request, idempotency_key=idempotency_key, is_new=lambda model_id: model_id in self._unanswered
            )
            self._unanswered.add(model.id)
        return model

    def answered(self, model: TunedModel, *, was_sent: bool) -> None:
        """Note whether the reply was sent; if not, the same request again counts as a repetition."""
        try:
            if was_sent:
                self._library.mark_reply_sent(model)
        finally:
            with self._lock:
                self._unanswered.discard(model.id)

    def _begin_with(self, wanted: CreationRequest) -> tuple[CatalogEntry, TunedModel | None]:
        if (wanted.base_model is None) == (wanted.source_tuned_model is None):
            raise InvalidArgument("Exactly one of base_model and tuned_model_source must be set.")
        if wanted.source_tuned_model is not None:
            source = self._library.find(wanted.source_tuned_model.removeprefix("tunedModels/"))
            if source.state is not State.ACTIVE:
                raise FailedPrecondition(f"{source.name} is {source.state}; only an ACTIVE model can be tuned further.")
            return self._catalog.resolve(source.base_model), source
        name = str(wanted.base_model)
        try:
            return self._catalog.resolve(name), None
        except NotFound:
            full = name if name.startswith("models/") else f"models/{name}"
            raise NotFound(f"{full} is not found for CREATE TUNED MODEL at API version v1beta.") from None

    def _require_room(self) -> None:
        waiting = len(self._library.places_in_queue())
        if waiting >= MAX_WAITING_TASKS:
            raise ResourceExhausted(
                f"{waiting:,} tuning jobs are already waiting; the limit is {MAX_WAITING_TASKS:,}. Try again later."
            )
        disk = shutil.disk_usage(self._library.folder.path)
        reserve = reserve_bytes(disk.total)
        if disk.free < reserve:
            raise Unavailable(
                f"The disk with the data folder has {disk.free // 10**6} MB left; {reserve // 10**6} MB must stay free."
                " Free some space and try again."
            )


def reserve_bytes(total_bytes: int) -> int:
    """Return how many bytes of a disk of this size must stay free."""
    return min(RESERVE_BYTES, int(RESERVE_SHARE * total_bytes))


def _dataset(examples: Sequence[tuple[str, str]], source: str) -> Dataset:
    if not examples:
        raise InvalidArgument(
            f"{_EXAMPLES} is empty: there are no examples to tune on."
            " google-genai 1.47 and later leave them out; send them in extra_body (docs/clients.md)."
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


def _path(problem: DataProblem) -> str:
    if problem.row is None:
        return _EXAMPLES
    column = {"text_input": ".textInput", "output": ".output"}.get(problem.column or "", "")
    return f"{_EXAMPLES}[{problem.row - 1}]{column}"
