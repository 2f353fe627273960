"""
My Library: the tuned models of a data folder, and the queue of the tasks that make them.

Anyone may open it to read; who changes it owns the data folder. It knows no HTTP, no tensors and no SQL: statements are
in `database/`, files in `publish.py`, the lock in `folder.py`.

    with Library.own(data_folder) as library:
        model = library.find_unfinished(request.sha256()) or library.create(request)
        task = library.claim("this computer", task_id=model.task.id)
"""

from __future__ import annotations

import difflib
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunery.data.inputs import PromptContract
from tunery.data.outputs import Contracts, OutputContract
from tunery.errors import (
    Cancelled,
    FailedPrecondition,
    FolderLocked,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TuneryError,
)
from tunery.files import open_published, publish, sweep
from tunery.service import requests
from tunery.service.access import Action, Sharing, require_role, require_scope
from tunery.service.database import connection as schema
from tunery.service.database import models, tasks
from tunery.service.database.connection import Database
from tunery.service.folder import DataFolder
from tunery.service.requests import (
    ModelFilter,
    Progress,
    Prompt,
    Published,
    TuningRequest,
    check_display_name,
    random_id,
)
from tunery.types import Caller, Permission, Phase, State, TunedModel, TuningExample, TuningTask

MAX_WAIT_FOR_TABLES_SECONDS = 10

_NOTHING_NEW = Progress()


class Fenced(FailedPrecondition):
    """The tuning job was deleted or taken over by another worker: stop and write nothing more."""


class Library:
    """The tuned models of one data folder; made by `open` or `own`."""

    def __init__(self, folder: DataFolder, database: Database) -> None:
        self.folder = folder
        self._database = database
        self.sharing = Sharing(database)
        self.polling = Polling(database)
        self.prompts = Prompts(database)

    @property
    def database(self) -> Database:
        """The database of the data folder, for what else is kept in it."""
        return self._database

    @classmethod
    @contextmanager
    def open(cls, data_folder: Path) -> Iterator[Library]:
        """Open a library to read, also while another process owns it; a new data folder becomes an empty library."""
        folder = DataFolder(data_folder)
        database = Database(folder.database, is_writer=False)
        try:
            _wait_for_tables(folder, database)
            yield cls(folder, database)
        finally:
            database.close()

    @classmethod
    @contextmanager
    def own(cls, data_folder: Path, address: str | None = None) -> Iterator[Library]:
        """
        Open a library to read and write, as the only process that does; `address` is where a server answers.

        Tasks of an owner that died go back into the queue, and files that no tuned model names are removed.
        Raises FolderLocked if another process owns it, FailedPrecondition if it cannot be written.
        """
        folder = DataFolder(data_folder)
        with folder.own(address):
            database = Database(folder.database, is_writer=True)
            try:
                if not schema.is_current_schema(database):
                    schema.upgrade(database)
                library = cls(folder, database)
                library.take_back_lost_tasks()  # whoever had one owned the folder, and we own it now
                library.sweep()
                yield library
            finally:
                database.close()

    def list(self, words: str | None = None, *, with_snapshots: bool = False) -> tuple[TunedModel, ...]:
        """
        Return the tuned models, newest first, if asked only those with `words` in display name or description.

        Their curves are left out unless `with_snapshots`: a library of 1,000 models has 200,000 snapshots.
        """
        with self._database.reading() as connection:
            return tuple(models.listed(connection, words, with_snapshots=with_snapshots))

    def get(self, name: str) -> TunedModel:
        """
        Return the tuned model called `tunedModels/x`, `x`, or by its display name if only one has it.

        Raises NotFound with the names that come near, InvalidArgument if several models have the display name.
        """
        with self._database.reading() as connection:
            found = models.get(connection, name.removeprefix("tunedModels/"))
            if found is not None:
                return found
            named = models.with_display_name(connection, name)
            if not named:
                raise NotFound(_not_found(name, models.names(connection)))
        if len(named) > 1:
            ids = ", ".join(model.id for model in named)
            raise InvalidArgument(f"{len(named)} tuned models are called {name!r}. Name one by its id: {ids}.")
        return named[0]

    def examples(self, model: TunedModel) -> tuple[tuple[TuningExample, ...], tuple[TuningExample, ...]]:
        """Return the examples a model was tuned on, and those that were held out, in the user's order."""
        with self._database.reading() as connection:
            used, held_out = models.examples(connection, model.task.id)
        return tuple(used), tuple(held_out)

    def artifact(self, model: TunedModel) -> tuple[Path, str]:
        """
        Return the folder of a model's adapter and the digest of its manifest, to be compared when it is read.

        Raises FailedPrecondition if there is none.
        """
        if model.state != State.ACTIVE or model.artifact is None or model.manifest_sha256 is None:
            raise FailedPrecondition(_not_callable(model))
        return self.folder.path / model.artifact, model.manifest_sha256

    def source_adapter(self, model: TunedModel) -> Path | None:
        """Return the checked adapter folder of the tuned model that this one goes on from, None if it begins afresh."""
        if model.source_tuned_model is None:
            return None
        try:
            return self.adapter_folder(self.find(model.source_tuned_model))
        except NotFound:
            raise FailedPrecondition(
                f"The tuned model {model.source_tuned_model}, which this one goes on from, was deleted."
            ) from None

    def find_unfinished(self, request_sha256: str) -> TunedModel | None:
        """Return the tuned model that was asked for by the same request and is not finished yet."""
        with self._database.reading() as connection:
            return models.unfinished(connection, request_sha256)

    def adapter_folder(self, model: TunedModel) -> Path:
        """
        Return the folder of a model's adapter, every file of it compared with what was published.

        Raises FailedPrecondition if there is none, DataLoss if a file was changed or is gone.
        """
        if model.state != State.ACTIVE or model.artifact is None:
            raise FailedPrecondition(_not_callable(model))
        with self._database.reading() as connection:
            digest = models.manifest_sha256(connection, model.task.id)
        if digest is None:
            raise NotFound(f"The tuned model {model.id} was deleted.")
        return open_published(self.folder.path / model.artifact, digest)

    def create(
        self,
        request: TuningRequest,
        *,
        idempotency_key: str | None = None,
        is_new: Callable[[str], bool] = lambda _: True,
    ) -> TunedModel:
        """
        Take a tuned model into the library and its task into the queue, in one transaction.

        A request with a key that its user gave within a day returns what the first made. So does one that equals a
        request of the last 90 s whose reply was not sent, unless `is_new` says of that model's id that it is another.
        Raises AlreadyExists if the id that was given is taken.
        """
        model_id = request.id or requests.new_id(request.display_name or "")
        with self._database.writing() as connection:
            repeated = tasks.repeated(connection, request.user_id, request.sha256(), idempotency_key)
            if repeated is not None and (idempotency_key is not None or not is_new(repeated)):
                model_id = repeated
            else:
                models.create(connection, model_id, request, idempotency_key)
                for kind, document in contract_documents(request.examples).items():
                    models.put_report(connection, model_id, kind, document)
        return self.get(model_id)

    def mark_reply_sent(self, model: TunedModel) -> None:
        """Note that its user knows of a tuned model, so that the same request again asks for another."""
        with self._database.writing() as connection:
            tasks.mark_reply_sent(connection, model.task.id)

    def find(self, model_id: str) -> TunedModel:
        """Return the tuned model with exactly this id; raises NotFound as the API words it."""
        with self._database.reading() as connection:
            found = models.get(connection, model_id)
        if found is None:
            raise NotFound(f"Tuned model tunedModels/{model_id} does not exist.")
        return found

    def page(
        self, caller: Caller, wanted: ModelFilter, *, before: int | None = None, limit: int
    ) -> Sequence[tuple[int, TunedModel]]:
        """Return up to `limit` tuned models that a caller may see, newest first, with the numbers of their places."""
        with self._database.reading() as connection:
            return models.page(connection, caller, wanted, before=before, limit=limit)

    def places_in_queue(self) -> dict[str, int]:
        """Return for each waiting task, by its id, how many wait before it."""
        with self._database.reading() as connection:
            return tasks.places(connection)

    def update(self, name: str, **changes: object) -> TunedModel:
        """
        Change a tuned model: `display_name`, `description`, `temperature`, `top_p`, `top_k`, `reader_project_numbers`.

        What is not named stays. Raises InvalidArgument for a display name that cannot be.
        """
        if "display_name" in changes:
            requests.check_display_name(str(changes["display_name"]))
        model = self.get(name)
        with self._database.writing() as connection:
            models.change(connection, model.id, changes)
        return self.get(model.id)

    def put_report(self, model: TunedModel, kind: str, document: Mapping[str, Any]) -> None:
        """Keep what was found out about a tuned model; the newest of a kind counts. Raises NotFound."""
        with self._database.writing() as connection:
            if not models.exists(connection, model.id):
                raise NotFound(f"Tuned model {model.name} does not exist.")
            models.put_report(connection, model.id, kind, document)

    def report(self, model: TunedModel, kind: str) -> dict[str, Any] | None:
        """Return the document of a report about a tuned model, None if there is none of this kind."""
        with self._database.reading() as connection:
            return models.get_report(connection, model.id, kind)

    def reports(self, model: TunedModel) -> dict[str, dict[str, Any]]:
        """Return the documents of all reports about a tuned model, by kind."""
        with self._database.reading() as connection:
            return models.reports_of(connection, model.id)

    def delete(self, name: str) -> None:
        """Delete a tuned model with its examples, curve, checkpoints and adapter; a worker at it is fenced."""
        model = self.get(name)
        with self._database.writing() as connection:
            models.remove(connection, model.id)
        self._remove(self.folder.models / model.task.id)
        self._remove(self.folder.checkpoint(model.task.id))

    def claim(
        self, worker: str, *, task_id: str | None = None, is_cancelled: bool = False, held_back: Collection[str] = ()
    ) -> TuningTask | None:
        """
        Give the oldest waiting task, or the one with `task_id`, to a worker; None if it is not there to be had.

        The task says where to resume: `checkpoint_step`, and the snapshots so far. `held_back` ids are passed over.
        `is_cancelled` asks for tasks that were cancelled while they waited with a checkpoint (others are not given
        then, and these not otherwise): publish it, then finish.
        """
        with self._database.writing() as connection:
            return tasks.claim(connection, worker, task_id=task_id, is_cancelled=is_cancelled, held_back=held_back)

    def heartbeat(self, task: TuningTask, phase: Phase, progress: Progress = _NOTHING_NEW) -> bool:
        """
        Keep a claimed task, write down how far it is, and return whether its user asked to cancel it.

        PUBLISHING is the commit point: with True it was refused, with False nobody can cancel any more. Raises Fenced.
        """
        with self._database.writing() as connection:
            is_cancel_requested = tasks.heartbeat(connection, task, phase, progress)
        if is_cancel_requested is None:
            raise Fenced
        return is_cancel_requested

    def publish(self, task: TuningTask, write: Callable[[Path], None], *, needed_bytes: int | None = None) -> Published:
        """Make the adapter of a claimed task visible: `write` puts its files into the folder it is given."""
        folder = self.folder.adapter(task)
        return Published(folder, task.fencing_epoch, publish(folder, write, needed_bytes=needed_bytes))

    def finish(
        self,
        task: TuningTask,
        phase: Phase,
        progress: Progress = _NOTHING_NEW,
        *,
        published: Published | None = None,
        error: TuneryError | None = None,
    ) -> TunedModel:
        """
        End a claimed task and return its tuned model.

        SUCCEEDED needs `published` and a heartbeat to PUBLISHING before; FAILED needs `error`; CANCELLED needs
        `request_cancel` before, and with `published` leaves a usable model. Raises Fenced.
        """
        assert phase != Phase.SUCCEEDED or published, "a task succeeds with an adapter only"
        assert phase != Phase.FAILED or error, "a task fails with an error only"
        if phase == Phase.CANCELLED:
            error = error or Cancelled()
        code, message = (error.code, str(error)) if error else (None, None)
        with self._database.writing() as connection:
            if not tasks.finish(
                connection, task, phase, progress, published=published, error_code=code, error_message=message
            ):
                raise Fenced
        self._remove(self.folder.checkpoint(task.id))
        return self.get(task.tuned_model_id)

    def release(self, task: TuningTask) -> None:
        """Put a claimed task back into the queue, to be resumed from its checkpoint; not a loss. Raises Fenced."""
        with self._database.writing() as connection:
            if not tasks.release(connection, task):
                raise Fenced

    def request_cancel(self, name: str) -> TunedModel:
        """Ask to cancel the task of a tuned model; at once if it waits with nothing to keep, not at all if it ended."""
        model = self.get(name)
        with self._database.writing() as connection:
            tasks.request_cancel(connection, model.id)
        return self.get(model.id)

    def checkpoint_folder(self, task: TuningTask) -> Path:
        """Return the folder for the checkpoints of a task, made if it is not there."""
        folder = self.folder.checkpoint(task.id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def sweep(self) -> None:
        """Remove the files that no tuned model names: of processes that died, of deleted models, of ended tasks."""
        with self._database.reading() as connection:
            adapters, checkpoints = tasks.kept_folders(connection)
        sweep(self.folder.models, adapters)
        for folder in self.folder.checkpoints.iterdir():
            if folder.name not in checkpoints:
                self._remove(folder)

    def take_back(self, task: TuningTask, *, is_short_of_memory: bool = False) -> None:
        """
        Put the task of a worker that died back into the queue, counted as a loss; not if it is not its own now.

        `is_short_of_memory`: the kernel took the worker; the next one tries with half as many examples at a time.
        """
        with self._database.writing() as connection:
            heartbeat = tasks.heartbeat_of(connection, task)
            if heartbeat is not None:
                tasks.reap(connection, task.id, task.fencing_epoch, heartbeat, is_short_of_memory=is_short_of_memory)

    def take_back_lost_tasks(self) -> None:
        """Put back every task that a worker has by its row; only for who knows that no worker is left."""
        with self._database.reading() as connection:
            lost = tasks.running(connection)
        if not lost:  # looked at each second: nothing to write, no lock
            return
        with self._database.writing() as connection:
            for task_id, fencing_epoch, heartbeat in lost:
                tasks.reap(connection, task_id, fencing_epoch, heartbeat)

    @staticmethod
    def _remove(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now, the next sweep takes


def _wait_for_tables(folder: DataFolder, database: Database) -> None:
    """Make the tables if they are missing or old, or wait for the process that is making them just now."""
    give_up = time.monotonic() + MAX_WAIT_FOR_TABLES_SECONDS
    while not schema.is_current_schema(database):
        try:
            with Library.own(folder.path):
                return
        except FolderLocked:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _not_found(name: str, known: Collection[tuple[str, str]]) -> str:
    spellings = {spelling.lower(): model_id for model_id, label in known for spelling in (label, model_id)}
    wanted = name.removeprefix("tunedModels/").lower()
    near = dict.fromkeys(spellings[spelling] for spelling in difflib.get_close_matches(wanted, spellings))
    if near:
        return f"There is no tuned model {name!r}. Did you mean {' or '.join(near)}?"
    return f"There is no tuned model {name!r}. " + (
        "My Library is empty." if not known else "`tunery models list` shows the names."
    )


def _not_callable(model: TunedModel) -> str:
    if model.state == State.CREATING:
        done, total = model.task.completed_steps, model.task.total_steps
        return f"The tuned model {model.id} is still being tuned ({done} of {total} steps). Wait until it is done."
    return f"The tuned model {model.id} cannot be used: {model.task.error_message} Tune it again."


PROMPT_CONTRACT, OUTPUT_CONTRACT, PROMPT_OPTIONS = "PROMPT_CONTRACT", "OUTPUT_CONTRACT", "PROMPT_OPTIONS"
KEPT = 1000  # tuned models whose contracts stay in memory


def contract_documents(examples: Sequence[TuningExample]) -> dict[str, dict[str, Any]]:
    """Return the contracts of these examples as reports, by kind."""
    contracts = Contracts.learn(examples)
    return {PROMPT_CONTRACT: contracts.prompt.document(), OUTPUT_CONTRACT: contracts.output.document()}


def contracts_of(library: Library, model: TunedModel) -> Contracts:
    """Return the contracts of a tuned model, from its reports or, if it is older than these, from its examples."""
    found = _known.get(model.task.id)
    if found is None:
        found = _remembered(library, model)
        while len(_known) >= KEPT:
            _known.pop(next(iter(_known)), None)
        _known[model.task.id] = found
    return found


def wraps_plain_inputs(library: Library, model: TunedModel) -> bool:
    """Say whether plain inputs of a tuned model get what they lack before it is asked; not unless it was wanted."""
    options = library.report(model, PROMPT_OPTIONS)
    return bool(options and options.get("wrap_plain_inputs"))


def set_wraps_plain_inputs(library: Library, model: TunedModel, wraps: bool) -> None:
    """Want plain inputs to be wrapped, or not any more."""
    library.put_report(model, PROMPT_OPTIONS, {"wrap_plain_inputs": wraps})


_known: dict[str, Contracts] = {}  # by id of the task, which never gets other examples; the oldest first


def _remembered(library: Library, model: TunedModel) -> Contracts:
    reports = library.reports(model)
    prompt, output = reports.get(PROMPT_CONTRACT), reports.get(OUTPUT_CONTRACT)
    if prompt is None or output is None:
        return Contracts.learn(library.examples(model)[0])
    return Contracts(PromptContract.read(prompt), OutputContract.read(output))


MAX_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """A tuned model as it is until the next write; `made` keeps what its readers make of it."""

    model: TunedModel
    permissions: tuple[Permission, ...]
    waiting_before: int | None  # tasks before it in the queue, None if it is not in the queue
    made: dict[Any, Any] = field(default_factory=dict, repr=False)


class Polling:
    """The tuned models that are asked for often, of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changes = -1
        self._kept: dict[str, Seen] = {}

    def get(self, caller: Caller, action: Action, model_id: str) -> Seen:
        """Return a tuned model; raises NotFound, and PermissionDenied unless the caller may do this with it."""
        require_scope(caller, action)  # first: who may not ask at all does not learn which models there are
        changes = self._database.changes  # before reading: what is written meanwhile is read again the next time
        with self._lock:
            seen = self._kept.get(model_id) if self._changes == changes else None
        if seen is None:
            seen = self._read(model_id)
            self._keep(seen, changes)
        require_role(caller, action, seen.model.name, seen.permissions)
        return seen

    def _read(self, model_id: str) -> Seen:
        with self._database.reading() as connection:
            model = models.get(connection, model_id)
            if model is None:
                raise NotFound(f"Tuned model tunedModels/{model_id} does not exist.")
            is_waiting = model.task.phase is Phase.QUEUED
            place = tasks.places(connection).get(model.task.id) if is_waiting else None
            return Seen(model, models.permissions_of(connection, model_id), place)

    def _keep(self, seen: Seen, changes: int) -> None:
        with self._lock:
            if self._changes != changes or len(self._kept) >= MAX_KEPT:
                self._changes, self._kept = changes, {}
            self._kept[seen.model.id] = seen


MAX_PROMPTS = 1000  # of a user; each takes up to 4 MiB


class Prompts:
    """The structured prompts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, caller: Caller, display_name: str, document: Mapping[str, Any]) -> Prompt:
        """Keep a new prompt; raises ResourceExhausted when its user has too many, InvalidArgument for a bad name."""
        user_id = _user(caller, Action.CREATE)
        check_display_name(display_name)
        now = datetime.now(UTC)
        prompt = Prompt(random_id(), user_id, display_name, dict(document), now, now)
        with self._database.writing() as connection:
            if models.count_prompts(connection, user_id) >= MAX_PROMPTS:
                raise ResourceExhausted(f"You have {MAX_PROMPTS:,} structured prompts, the limit. Delete some first.")
            models.add_prompt(connection, prompt)
        return prompt

    def get(self, caller: Caller, prompt_id: str) -> Prompt:
        """Return a prompt of the caller; raises NotFound, also for those of others."""
        user_id = _user(caller, Action.LIST)
        with self._database.reading() as connection:
            found = models.get_prompt(connection, user_id, prompt_id)
        return found or _missing(prompt_id)

    def page(self, caller: Caller, words: str, *, start: int, limit: int) -> Sequence[Prompt]:
        """Return up to `limit` prompts of the caller from place `start` on, changed last first."""
        user_id = _user(caller, Action.LIST)
        with self._database.reading() as connection:
            return models.page_of_prompts(connection, user_id, tuple(words.split()), start=start, limit=limit)

    def update(
        self, caller: Caller, prompt_id: str, *, display_name: str | None, document: Mapping[str, Any]
    ) -> Prompt:
        """Set the parts of a prompt's document that are given, and its name unless that is None; raises NotFound."""
        user_id = _user(caller, Action.CREATE)
        if display_name is not None:
            check_display_name(display_name)
        with self._database.writing() as connection:
            found = models.get_prompt(connection, user_id, prompt_id) or _missing(prompt_id)
            columns = {
                "display_name": display_name or found.display_name,
                "document": found.document | dict(document),
                "update_time": datetime.now(UTC),
            }
            models.change_prompt(connection, user_id, prompt_id, columns)
            return models.get_prompt(connection, user_id, prompt_id) or _missing(prompt_id)

    def delete(self, caller: Caller, prompt_id: str) -> None:
        """Delete a prompt of the caller; raises NotFound."""
        user_id = _user(caller, Action.CREATE)
        with self._database.writing() as connection:
            if not models.remove_prompt(connection, user_id, prompt_id):
                _missing(prompt_id)


def _user(caller: Caller, action: Action) -> str:
    require_scope(caller, action)
    return str(caller.user_id)


def _missing(prompt_id: str) -> Prompt:
    raise NotFound(f"Structured prompt prompts/{prompt_id} does not exist.")
