"""
My Library: the tuned models of a data folder, and the queue of the tasks that create them.

Any process may open it to read; a process that changes it has to own the data folder, unless the database is shared.
SQL statements are in `database/`, the lock is in `folder.py`.

    with Library.own(data_folder) as library:
        model = library.find_unfinished(request.sha256()) or library.create(request)
        task = library.claim("this computer", task_id=model.task.id)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tunery.config import ALONE, Shared
from tunery.errors import (
    Cancelled,
    DataLoss,
    FailedPrecondition,
    FolderLocked,
    InvalidArgument,
    NotFound,
    TuneryError,
    Unavailable,
    did_you_mean,
)
from tunery.files import open_published, sweep
from tunery.service.access import Polling, Sharing
from tunery.service.database import audit, models, tasks
from tunery.service.database import connection as schema
from tunery.service.database.connection import Database
from tunery.service.folder import DataFolder, Ownership, epoch_folder
from tunery.service.process import machine_start
from tunery.service.prompts import Prompts
from tunery.service.store import Store
from tunery.service.tuning import (
    HOW_TO_RESUME,
    Loss,
    ModelFilter,
    Progress,
    Published,
    TuningRequest,
    check_description,
    check_display_name,
    contract_documents,
    inputs_sha256,
    new_id,
)
from tunery.types import Caller, Phase, Score, State, TunedModel, TuningExample, TuningTask

MAX_WAIT_FOR_TABLES_SECONDS = 10
LOG, LOG_LINES = "LOG", 200
EPOCH_ANSWERS, MAX_SAMPLED_EPOCHS = "EPOCH_ANSWERS", 100

ROWS = "ROWS"  # the numbers of the examples in their file
INPUTS = "INPUTS"  # the digest of the data a task works on

_NOTHING_NEW = Progress()


class Fenced(FailedPrecondition):
    """The tuning job was deleted or claimed by another worker: stop and write nothing more."""


class Library:
    """The tuned models of one data folder; created by `open` or `own`."""

    def __init__(self, folder: DataFolder, database: Database, store: Store | None = None) -> None:
        self.folder, self.database, self.store = folder, database, store
        self.sharing = Sharing(database)
        self.polling = Polling(database)
        self.prompts = Prompts(database)
        self.owned: Ownership | None = None
        self._deleted: set[str] = set()  # ids of tasks

    @classmethod
    @contextmanager
    def open(cls, data_folder: Path, shared: Shared = ALONE) -> Iterator[Library]:
        """Open a library for reading, even while another process owns it; a new folder becomes an empty library."""
        folder, store = DataFolder(data_folder), _store(shared)
        if shared.database_url is not None:
            with closing(_shared_database(folder, shared.database_url)) as opened:
                yield cls(folder, opened, store)
            return
        database = Database(folder.database, is_writer=False)
        try:
            _wait_for_tables(folder, database)
            schema.require_noted_digest(folder.database)
            yield cls(folder, database, store)
        finally:
            database.close()

    @classmethod
    @contextmanager
    def own(cls, data_folder: Path, address: str | None = None, shared: Shared = ALONE) -> Iterator[Library]:
        """
        Open a library for reading and writing, as the only process allowed to; `address` is the address of a server.

        With a shared database, only the folder is owned; other processes write to the same database.
        Tasks of an owner that died go back into the queue, and files that no row names are set aside.
        Raises FolderLocked if another process owns it, FailedPrecondition if it cannot be written, DataLoss if the
        database is damaged, or missing although there are adapters.
        """
        folder, store = DataFolder(data_folder), _store(shared)
        with folder.own(address) as owned:
            if shared.database_url is not None:
                with closing(_shared_database(folder, shared.database_url)) as opened:
                    library = cls(folder, opened, store)
                    library.owned = owned
                    library.sweep()
                    yield library
                return
            database = _with_tables(folder)
            try:
                owned.watch(folder.database)
                database.before_writing = partial(_before_writing, owned, folder.database)
                library = cls(folder, database, store)
                library.owned = owned
                # their workers owned the folder, and now we do; an owner that left them behind could not write rows
                library.take_back_lost_tasks(Loss.SERVER if owned.was_killed else Loss.ERROR)
                library.sweep()
                yield library
            finally:
                database.close()
                with suppress(OSError, Unavailable):  # then the next start does not compare
                    owned.require()
                    schema.note_digest(folder.database)

    def require_owned(self) -> None:
        """Raise Unavailable if the lock file or the database was removed or replaced under this owner."""
        if self.owned is not None:
            self.owned.require()

    def list(self, words: str | None = None, *, with_snapshots: bool = False) -> tuple[TunedModel, ...]:
        """
        Return the tuned models, newest first; with `words`, only those with all of them in the display name or
        description.

        Curves are left out unless `with_snapshots`, because a library of 1,000 models has 200,000 snapshots.
        """
        with self.database.reading() as connection:
            return tuple(models.list_models(connection, words, with_snapshots=with_snapshots))

    def page(
        self,
        caller: Caller,
        wanted: ModelFilter,
        *,
        before: int | None = None,
        limit: int,
        with_snapshots: bool = True,
    ) -> tuple[Sequence[tuple[int, TunedModel]], bool]:
        """
        Return up to `limit` tuned models that a caller may see, newest first, each with its row number.

        Also returns whether there are more. Pages with long curves are shorter.
        """
        with self.database.reading() as connection:
            return models.list_page(
                connection, caller, wanted, before=before, limit=limit, with_snapshots=with_snapshots
            )

    def find(self, model_id: str) -> TunedModel:
        """Return the tuned model with exactly this id; raises NotFound with the API's message."""
        with self.database.reading() as connection:
            found = models.get_model(connection, model_id)
        if found is None:
            raise NotFound(f"Tuned model tunedModels/{model_id} does not exist.")
        return found

    def get(self, name: str) -> TunedModel:
        """
        Return the tuned model named `tunedModels/x` or `x`, or with this display name if only one has it.

        Raises NotFound with similar names, InvalidArgument if several models have the display name.
        """
        with self.database.reading() as connection:
            found = models.get_model(connection, name.removeprefix("tunedModels/"))
            if found is not None:
                return found
            named = models.list_named(connection, name)
            if not named:
                raise NotFound(_not_found(name, models.list_names(connection)))
        if len(named) > 1:
            ids = ", ".join(model.id for model in named)
            raise InvalidArgument(f"{len(named)} tuned models are called {name!r}. Use one of their ids: {ids}.")
        return named[0]

    def find_unfinished(self, request_sha256: str) -> TunedModel | None:
        """Return the unfinished tuned model of the same request, if there is one."""
        with self.database.reading() as connection:
            return models.get_unfinished_model(connection, request_sha256)

    def create(
        self,
        request: TuningRequest,
        *,
        idempotency_key: str | None = None,
        is_new: Callable[[str], bool] = lambda _: True,
    ) -> TunedModel:
        """
        Add a tuned model to the library and its task to the queue, in one transaction.

        A repeated request returns the first one's model: one with an idempotency key its user gave within a day, or one
        equal to a request of the last 90 s whose reply was not sent, unless `is_new` returns True for that model's id.
        Raises AlreadyExists if the requested id is taken.
        """
        model_id = request.id or new_id(request.display_name or "")
        with self.database.writing() as connection:
            repeated = tasks.repeated(connection, request.user_id, request.sha256(), idempotency_key)
            if repeated is not None and (idempotency_key is not None or not is_new(repeated)):
                model_id = repeated
            else:
                models.add_model(connection, model_id, request, idempotency_key)
                of = {"base_model": request.base_model, "examples": len(request.examples)}
                audit.record(connection, "CreateTunedModel", f"tunedModels/{model_id}", actor=request.user_id, **of)
                digest = inputs_sha256(
                    request.base_digest,
                    request.examples,
                    request.held_out,
                    request.hyperparameters,
                    request.seed,
                    request.source_tuned_model,
                )
                used, held_out = map(list, request.row_numbers)
                documents: dict[str, Mapping[str, Any]] = {
                    INPUTS: {"sha256": digest},
                    ROWS: {"used": used, "held_out": held_out},
                }
                for kind, document in {**contract_documents(request.examples), **documents}.items():
                    models.set_report(connection, model_id, kind, document)
        return self.get(model_id)

    def mark_reply_sent(self, model: TunedModel) -> None:
        """Note that the user knows about a tuned model, so that repeating the request creates another one."""
        with self.database.writing() as connection:
            tasks.mark_reply_sent(connection, model.task.id)

    def update(self, name: str, **changes: object) -> TunedModel:
        """
        Change a tuned model: `display_name`, `description`, `temperature`, `top_p`, `top_k`, `reader_project_numbers`,
        `examples_shared`, `chosen_epoch` (one of the kept epochs, or None for the one chosen by tuning).

        Other fields stay. Raises InvalidArgument for an invalid display name or description, NotFound for an epoch that
        was not kept.
        """
        if "display_name" in changes:
            check_display_name(str(changes["display_name"]))
        check_description(str(changes.get("description") or ""))
        model = self.get(name)
        if changes.get("chosen_epoch") is not None:
            epoch_folder(self.artifact(model)[0], int(str(changes["chosen_epoch"])))
        with self.database.writing() as connection:
            models.change_model(connection, model.id, changes)
            shared = changes.get("examples_shared")
            audit.record(connection, "UpdateTunedModel", model.name, fields=sorted(changes), examples_shared=shared)
        return self.get(model.id)

    def delete(self, name: str) -> None:
        """
        Delete a tuned model with its examples, curve, checkpoints and adapter; a worker that is tuning it is fenced
        off.
        """
        model = self.get(name)
        with self.database.writing() as connection:
            models.remove_model(connection, model.id)
            audit.record(connection, "DeleteTunedModel", model.name, display_name=model.display_name)
        self._deleted.add(model.task.id)
        self._remove(model.task.id)

    def tidy(self, task: TuningTask) -> None:
        """Remove files that a worker wrote after its tuned model was deleted."""
        if task.id in self._deleted:
            self._remove(task.id)

    def examples(self, model: TunedModel) -> tuple[tuple[TuningExample, ...], tuple[TuningExample, ...]]:
        """Return the examples a model was tuned on, and those that were held out, in the user's order."""
        with self.database.reading() as connection:
            used, held_out = models.list_examples(connection, model.task.id)
        return tuple(used), tuple(held_out)

    def row_numbers(self, model: TunedModel) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the numbers in their file of the examples and of those held out; empty where they are not known."""
        known = self.report(model, ROWS) or {}
        return tuple(known.get("used", ())), tuple(known.get("held_out", ()))

    def inputs(
        self, model: TunedModel, task: TuningTask
    ) -> tuple[tuple[TuningExample, ...], tuple[TuningExample, ...], Path | None]:
        """
        Return what a task works on: its examples, the held-out ones, and the adapter folder it starts from (or None).

        Raises DataLoss if these were damaged in the database.
        """
        used, held_out = self.examples(model)
        noted = self.report(model, INPUTS)
        source = model.source_tuned_model
        digest = inputs_sha256(model.base_digest, used, held_out, task.hyperparameters, task.seed, source)
        if noted is not None and noted.get("sha256") != digest:
            raise DataLoss(f"The examples or settings of {model.id} were damaged in the database. Create it again.")
        return used, held_out, self.source_adapter(model)

    def examples_page(
        self, model: TunedModel, is_held_out: bool, *, start: int, limit: int
    ) -> tuple[tuple[TuningExample, ...], int]:
        """Return up to `limit` examples, or held-out ones, after the first `start`, and the total number."""
        with self.database.reading() as connection:
            shown = models.list_examples_page(connection, model.task.id, is_held_out, start=start, limit=limit)
            return tuple(shown), models.count_examples(connection, model.task.id, is_held_out)

    def artifact(self, model: TunedModel) -> tuple[Path, str]:
        """
        Return the folder of a model's adapter and the digest of its manifest, for `open_published`.

        With a store, it is fetched if it is not here. Raises FailedPrecondition if there is no adapter.
        """
        if model.state != State.ACTIVE or model.artifact is None or model.manifest_sha256 is None:
            raise FailedPrecondition(_not_callable(*self.with_interruptions([model])))
        folder = self.folder.path / model.artifact
        if self.store is not None:
            if self.store.fetch_folder(model.artifact, folder, model.manifest_sha256):
                self.store.note_added(folder, self.folder.models)
        elif self.database.is_shared and not folder.exists():
            raise FailedPrecondition(
                f"The adapter of {model.id} is on the machine that tuned it. Set TUNERY_STORE_URL on all machines."
            )
        return folder, model.manifest_sha256

    def adapter_folder(self, model: TunedModel) -> Path:
        """
        Return the folder of a model's adapter after checking each of its files.

        Raises FailedPrecondition if there is no adapter, DataLoss if a file has changed or is missing.
        """
        artifact = self.artifact(model)
        with self.database.reading() as connection:
            if not models.has_model(connection, model.id):
                raise NotFound(f"The tuned model {model.id} was deleted.")
        return open_published(*artifact)

    def source_adapter(self, model: TunedModel) -> Path | None:
        """Return the checked adapter folder of the model that this one was tuned from; None if that was a base."""
        if model.source_tuned_model is None:
            return None
        try:
            source = self.find(model.source_tuned_model)
            return epoch_folder(self.adapter_folder(source), source.chosen_epoch)
        except NotFound:
            raise FailedPrecondition(
                f"The tuned model {model.source_tuned_model}, from which this one was to be tuned, was deleted."
            ) from None

    def record(self, action: str, model: TunedModel, **details: Any) -> None:
        """Add an event that changes no row to the audit log."""
        with self.database.writing() as connection:
            audit.record(connection, action, model.name, **details)

    def put_report(self, model: TunedModel, kind: str, document: Mapping[str, Any]) -> None:
        """Store a report about a tuned model, replacing an earlier one of its kind; raise NotFound."""
        with self.database.writing() as connection:
            if not models.has_model(connection, model.id):
                raise NotFound(f"Tuned model {model.name} does not exist.")
            models.set_report(connection, model.id, kind, document)

    def report(self, model: TunedModel, kind: str) -> dict[str, Any] | None:
        """Return the report of this kind about a tuned model, or None."""
        with self.database.reading() as connection:
            return models.get_report(connection, model.id, kind)

    def log(self, model: TunedModel) -> tuple[str, ...]:
        """Return the last lines that the task of a tuned model logged, each with its time."""
        return tuple((self.report(model, LOG) or {"lines": ()})["lines"])

    def add_to_log(self, model_id: str, text: str) -> None:
        """Add a line to the log of a model's task, which keeps LOG_LINES; none if the model was deleted."""
        with self.database.writing() as connection:
            if models.has_model(connection, model_id):
                lines = (models.get_report(connection, model_id, LOG) or {"lines": []})["lines"]
                line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}"
                models.set_report(connection, model_id, LOG, {"lines": [*lines, line][-LOG_LINES:]})

    def epoch_answers(self, model: TunedModel) -> dict[str, Any] | None:
        """
        Return the answers sampled during tuning as `rows` (text_input, expected) and `epochs` (epoch, answers); None if
        there are none.
        """
        return self.report(model, EPOCH_ANSWERS)

    def add_epoch_answers(
        self, model: TunedModel, epoch: int, rows: Sequence[TuningExample], answers: Sequence[str]
    ) -> None:
        """Store an epoch's answers to a few rows; if an epoch is tuned again, they are replaced."""
        known = self.epoch_answers(model) or {"epochs": []}
        earlier = [one for one in known["epochs"] if one["epoch"] < epoch]
        document = {
            "rows": [{"text_input": row.text_input, "expected": row.output} for row in rows],
            "epochs": [*earlier, {"epoch": epoch, "answers": list(answers)}][-MAX_SAMPLED_EPOCHS:],
        }
        with suppress(NotFound):  # it was deleted
            self.put_report(model, EPOCH_ANSWERS, document)

    def scores(self, model_ids: Sequence[str]) -> dict[str, Score]:
        """Return the scores of the newest evaluations of these models, by their ids; not of a base alone."""
        with self.database.reading() as connection:
            return models.list_scores(connection, model_ids)

    def with_scores(self, found: Sequence[TunedModel]) -> tuple[TunedModel, ...]:
        """Return these models with the scores of their newest evaluations."""
        scores = self.scores([model.id for model in found])
        return tuple(replace(model, score=scores.get(model.id)) for model in found)

    def with_interruptions(self, found: Sequence[TunedModel]) -> tuple[TunedModel, ...]:
        """
        Return these models, with those marked whose task is not finished although no process works on it.

        Rows alone do not tell: a killed process leaves its task RUNNING until the next owner of the folder requeues it.
        In a shared database nothing is marked, because its workers are elsewhere.
        """
        unfinished = any(not model.task.phase.is_final for model in found)
        if not unfinished or self.owned is not None or self.database.is_shared or self.folder.is_held():
            return tuple(found)
        return tuple(replace(model, is_interrupted=not model.task.phase.is_final) for model in found)

    def reports(self, model: TunedModel) -> dict[str, dict[str, Any]]:
        """Return all reports about a tuned model, by kind."""
        with self.database.reading() as connection:
            return models.list_reports(connection, model.id)

    def claim(
        self,
        worker: str,
        *,
        task_id: str | None = None,
        is_cancelled: bool = False,
        held_back: Collection[str] = (),
        machine_start: str | None = None,
    ) -> TuningTask | None:
        """
        Claim the oldest waiting task, or the one with `task_id`, for a worker; None if no task can be claimed.

        The task says where to resume: `checkpoint_step`, and the snapshots so far. Ids in `held_back` are skipped. With
        `is_cancelled`, only tasks that were cancelled while waiting with a checkpoint are claimed, to be published and
        finished; without it, only the others. `machine_start` makes it possible to tell a server's crash from a stop of
        its machine.
        """
        with self.database.updating() as connection:
            return tasks.claim(
                connection,
                worker,
                task_id=task_id,
                is_cancelled=is_cancelled,
                held_back=held_back,
                machine_start=machine_start,
            )

    def is_suspect(self, task: TuningTask) -> bool:
        """Return whether servers have died with this task so often that it has to be tried by itself."""
        with self.database.reading() as connection:
            return tasks.is_suspect(connection, task.id)

    def heartbeat(self, task: TuningTask, phase: Phase, progress: Progress = _NOTHING_NEW) -> bool:
        """
        Renew the claim on a task, store its progress, and return whether its user has requested cancellation.

        PUBLISHING is the commit point: True means it was refused, False that the task can no longer be cancelled.
        Raises Fenced.
        """
        with self.database.updating() as connection:
            is_cancel_requested = tasks.heartbeat(connection, task, phase, progress)
        if is_cancel_requested is None:
            raise Fenced
        return is_cancel_requested

    def keep_checkpoint(self, task: TuningTask) -> None:
        """Copy the newest checkpoint of a claimed task to the store, if there is one; raises Unavailable."""
        if self.store is not None:
            self.store.put_checkpoint(task, self.folder.checkpoint(task.id))

    def renew(self, task: TuningTask) -> None:
        """Renew the claim on a task whose process is alive, in a shared database; raises Fenced."""
        if self.database.is_shared:
            with self.database.updating() as connection:
                if not tasks.renew(connection, task):
                    raise Fenced

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

        SUCCEEDED needs `published` and an earlier heartbeat to PUBLISHING; FAILED needs `error`; CANCELLED needs an
        earlier `request_cancel`, and with `published` leaves a usable model. Raises Fenced.
        """
        assert phase != Phase.SUCCEEDED or published, "a task succeeds only with an adapter"
        assert phase != Phase.FAILED or error, "a task fails only with an error"
        if phase == Phase.CANCELLED:
            error = error or Cancelled()
        code, message = (error.code, str(error)) if error else (None, None)
        if published is not None and self.store is not None:  # has to happen before a row names it
            self.store.put_folder(published.folder.relative_to(self.folder.path).as_posix(), published.folder)
        with self.database.updating() as connection:
            if not tasks.finish(
                connection, task, phase, progress, published=published, error_code=code, error_message=message
            ):
                raise Fenced
        if published is not None and self.store is not None:
            self.store.note_added(published.folder, self.folder.models)
        self._drop_checkpoint(task)
        return self.get(task.tuned_model_id)

    def release(self, task: TuningTask) -> None:
        """Put a claimed task back into the queue, to be resumed from its checkpoint; not a loss. Raises Fenced."""
        with suppress(Unavailable):  # in that case the next worker may have to repeat some steps
            self.keep_checkpoint(task)
        with self.database.updating() as connection:
            if not tasks.release(connection, task):
                raise Fenced

    def request_cancel(self, name: str) -> TunedModel:
        """
        Cancel the task of a tuned model: immediately if it is waiting with nothing to keep, not at all if it has ended.
        """
        model = self.get(name)
        with self.database.writing() as connection:
            tasks.request_cancel(connection, model.id)
            if not model.task.phase.is_final:
                audit.record(connection, "CancelTuning", model.name)
        return self.get(model.id)

    def start_next(self, model: TunedModel) -> None:
        """Put a waiting task before the others of its user; raise FailedPrecondition if it has begun or ended."""
        with self.database.writing() as connection:
            if not tasks.start_next(connection, model.id):
                raise FailedPrecondition(f"The tuning job of {model.name} is not waiting for its first start.")

    def take_back(self, task: TuningTask, loss: Loss) -> None:
        """Put the task of a dead worker back into the queue, if its claim is still the last."""
        with self.database.writing() as connection:
            heartbeat = tasks.heartbeat_of(connection, task)
            if heartbeat is not None:
                tasks.requeue_lost(connection, task.id, task.claim_number, heartbeat, loss)

    def take_back_lost_tasks(self, loss: Loss) -> None:
        """
        Requeue every task that a worker has according to its row; call this only when no worker of the library is left.

        In a shared database, only tasks whose leases have ended are requeued, because the others have workers
        elsewhere.
        """
        if self.database.is_shared:
            with self.database.updating() as connection:
                tasks.requeue_expired(connection)
            return
        with self.database.reading() as connection:
            lost = tasks.running(connection)
        if not lost:  # called every second, so avoid taking a write lock needlessly
            return
        with self.database.writing() as connection:
            for task_id, claim_number, heartbeat in lost:
                survived = loss is Loss.SERVER and self.folder.witness(task_id, claim_number).exists()
                cause = Loss.SURVIVED if survived else loss
                tasks.requeue_lost(connection, task_id, claim_number, heartbeat, cause, machine_start())

    def places_in_queue(self) -> dict[str, int]:
        """Return how many tasks are ahead of each waiting task, by task id."""
        with self.database.reading() as connection:
            return tasks.places(connection)

    def waiting_tasks(self, user_id: str) -> tuple[int, int]:
        """Return how many tasks are waiting, and how many of them belong to a user."""
        with self.database.reading() as connection:
            return tasks.waiting(connection, user_id)

    def sweep(self) -> None:
        """
        Set aside adapters and checkpoints that no row names, and remove files that were set aside a week ago.

        Files that rows name are moved back, for when the right database has been put back. Raises DataLoss if the
        database is damaged, because it is then not reliable.
        """
        with self.database.reading() as connection:
            adapters, checkpoints = tasks.kept_folders(connection)
        folder = self.folder
        if folder.set_aside.exists():
            for named in _named(folder, adapters, checkpoints):
                folder.bring_back(named)
        folder.remove_temporary()
        unnamed = sweep(folder.models, adapters)
        unnamed += [found for found in folder.checkpoints.iterdir() if found.name not in checkpoints]
        if unnamed:
            schema.check_database(self.database)
        for found in unnamed:
            with suppress(OSError):  # the next sweep moves what cannot be moved now
                folder.put_aside(found)
        folder.remove_expired()

    def _drop_checkpoint(self, task: TuningTask) -> None:
        shutil.rmtree(self.folder.checkpoint(task.id), ignore_errors=True)
        if self.store is not None:
            self.store.discard(f"checkpoints/{task.id}")

    def _remove(self, task_id: str) -> None:
        """Remove all files of a task whose row is gone because the user deleted the tuned model."""
        place = self.folder
        if self.store is not None:
            self.store.discard(f"models/{task_id}", f"checkpoints/{task_id}")
        days = list(place.days_aside())
        for parent in (
            place.models,
            place.checkpoints,
            *(day / name for day in days for name in ("models", "checkpoints")),
        ):
            shutil.rmtree(parent / task_id, ignore_errors=True)  # the next sweep sets aside what cannot be removed now


def _store(shared: Shared) -> Store | None:
    return None if shared.store_url is None else Store(shared.store_url)


def _shared_database(folder: DataFolder, url: str) -> Database:
    from tunery.service.database.postgres import usable

    folder.require_no_library()
    return usable(url)


def _before_writing(owned: Ownership, database: Path) -> None:
    owned.require()
    schema.forget_digest(database)


def _named(folder: DataFolder, adapters: Mapping[str, Collection[int]], checkpoints: Collection[str]) -> list[Path]:
    published = [folder.models / task_id / str(claim) for task_id, claims in adapters.items() for claim in claims]
    return [*published, *map(folder.checkpoint, checkpoints)]


def _with_tables(folder: DataFolder) -> Database:
    """Open the database of a folder that this process owns, with the tables of this version of tunery."""
    folder.require_database()
    schema.require_noted_digest(folder.database)
    database = Database(folder.database, is_writer=True)
    try:
        if schema.revision(database) is None:
            folder.require_no_work()
        if not schema.is_current_schema(database):
            schema.forget_digest(folder.database)
            schema.upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


def _wait_for_tables(folder: DataFolder, database: Database) -> None:
    """Create or upgrade the tables if needed, or wait for the process that is doing so."""
    give_up = time.monotonic() + MAX_WAIT_FOR_TABLES_SECONDS
    while not schema.is_current_schema(database):
        try:
            with folder.own():
                _with_tables(folder).close()
                return
        except FolderLocked:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _not_found(name: str, known: Collection[tuple[str, str]]) -> str:
    spellings = {spelling: model_id for model_id, label in known for spelling in (label, model_id)}
    near = did_you_mean(name.removeprefix("tunedModels/"), spellings)
    other = " `tunery models list` shows the names." if known else " My Library is empty."
    return f"There is no tuned model {name!r}.{near or other}"


def _not_callable(model: TunedModel) -> str:
    if model.state == State.CREATING:
        done, total = model.task.completed_steps, model.task.total_steps
        if model.is_interrupted:
            return (
                f"The tuning job of {model.id} was interrupted after {done} of {total} steps, and no process works on"
                f" it. {HOW_TO_RESUME}"
            )
        return f"The tuned model {model.id} is still being tuned ({done} of {total} steps). Wait until it is finished."
    return f"The tuned model {model.id} cannot be used: {model.task.error_message} Tune it again."
