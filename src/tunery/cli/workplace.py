"""
Where a command works: on the data folder (`Here`), or through a tunery server (`There`).

Each command has one body for both. `There` is a server elsewhere, or the one that owns this user's data folder; in the
latter case, whatever can be read from the folder is read from it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from tunery import config
from tunery.cli import terminal
from tunery.cli.client import (
    API,
    POLL_SECONDS,
    Client,
    Document,
    RemoteJob,
    RemoteModel,
    Waited,
    error_from,
    failed_sentence,
    holding_server,
    named_server,
    proof_in,
    received_base,
    received_model,
    revoke_first,
    sent_examples,
    sent_plan,
    snake_case,
    unpack,
    with_rows_of_file,
)
from tunery.cli.output import Plan
from tunery.errors import AlreadyExists, FailedPrecondition, FolderLocked, InvalidArgument, NotFound, did_you_mean
from tunery.progress import LiveLine, byte_progress, doing
from tunery.service import folder as folders
from tunery.service.tuning import Event
from tunery.types import Answer, CatalogEntry, TunedModel, TuningExample

if TYPE_CHECKING:
    from tunery.data.dataset import Dataset
    from tunery.data.settings import FittingSettings
    from tunery.evaluation.contest import RecordedAnswers
    from tunery.evaluation.report import Evaluation
    from tunery.model import Model
    from tunery.resampling import OnStep
    from tunery.service.accounts.accounts import Accounts
    from tunery.service.creation import MemoryEstimate
    from tunery.service.export import ExportChoice
    from tunery.service.library import Library
    from tunery.service.task import TaskWorker

MAX_ROWS = 500
PAGE_SIZE = 200

_HELD_OUT = "held-out rows"

OnAnswered = Callable[[int, int], None]  # prompts answered, prompts in all


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What to evaluate: the rows of a file, or None for the held-out rows; `recorded` answers are compared too."""

    rows: tuple[TuningExample, ...] | None = None
    source: str = _HELD_OUT
    recorded: RecordedAnswers | None = None
    max_rows: int = MAX_ROWS
    seed: int = 0
    numbers: tuple[int, ...] = ()  # numbers of the rows in their file
    compare_settings: str | None = None  # by folds: those with which each fold is tuned a second time


class AnsweringModel(Protocol):
    """A tuned model or a base that answers."""

    @property
    def is_tuned(self) -> bool: ...
    def answer(self, *text: Any, **settings: Any) -> Answer: ...
    def answers(self, *texts: Any, **settings: Any) -> list[Answer]: ...
    def decide(self, states: Sequence[Any], questions: Document | None = None) -> list[Document]: ...
    def stream(self, *text: Any, **settings: Any) -> Iterator[str]: ...


class Job(Protocol):
    """The tuning task of a model."""

    def events(self) -> Generator[Event | Waited]:
        """Yield the events of the task until it ends; raise its error if it FAILED."""

    def cancel(self) -> None:
        """Ask the task to end and to keep what was tuned."""

    def outlook(self, *, has_error: bool) -> str:
        """Return a sentence on what happens next to a task that has not ended, or an empty text."""


class Workplace(Protocol):
    """What commands need from the place where they work; accounts are documents with the API's field names."""

    @property
    def address(self) -> str | None:
        """Address of the server, None for the data folder."""

    def models(self) -> Sequence[TunedModel]: ...
    def get(self, name: str) -> TunedModel: ...
    def delete(self, model: TunedModel) -> None: ...
    def use_epoch(self, model: TunedModel, epoch: int | None) -> TunedModel: ...
    def start_next(self, model: TunedModel) -> None: ...
    def contract_sentences(self, model: TunedModel) -> tuple[str, str]: ...
    def card(self, model: TunedModel) -> Document: ...
    def export(self, model: TunedModel, choice: ExportChoice, work: Path) -> Document | None: ...

    def base(self, name: str) -> tuple[CatalogEntry, str]: ...
    def require_fitting_outputs(self, base: CatalogEntry, dataset: Dataset, column: str) -> None: ...
    def estimate(self, plan: Plan) -> MemoryEstimate | None: ...
    def times_time(self, fit: FittingSettings, base: CatalogEntry, *rows: Sequence[TuningExample]) -> float | None: ...
    def job(self, plan: Plan, *, is_resume: bool) -> AbstractContextManager[Job]: ...

    def evaluate(self, name: str, request: EvaluationRequest, on_answered: OnAnswered) -> Evaluation: ...
    def verdict(self, model: TunedModel, on_step: OnStep, on_answered: OnAnswered) -> Evaluation | None: ...
    def cross_validate(
        self, name: str, request: EvaluationRequest, folds: int, on_step: OnStep, on_answered: OnAnswered
    ) -> Evaluation: ...
    def model(self, name: str) -> AnsweringModel: ...
    def require_model(self, name: str) -> bool:
        """Return whether a tuned model has this name, not a base; raise why neither can answer, without loading it."""

    def list_users(self) -> list[Document]: ...
    def add_user(self, address: str, password: str | None, *, is_admin: bool) -> Document: ...
    def set_password(self, user: str, password: str) -> Document: ...
    def set_disabled(self, user: str, is_disabled: bool) -> Document: ...
    def setup_link(self, user: str) -> str: ...
    def list_keys(self) -> list[Document]: ...
    def create_key(self, label: str, user: str | None) -> Document: ...
    def add_key_file(self, address: str, public_key: str, user: str, label: str) -> Document: ...
    def list_tokens(self) -> list[Document]: ...
    def revoke(self, key: str) -> None: ...


def workplace(server: str | None, device: str | None = None) -> Workplace:
    """Return the server in --server or $TUNERY_SERVER, else the one that owns the data folder, else the folder."""
    client = named_server(server) or holding_server(config.data_folder())
    if client and device:
        raise client.other_device(device)
    return Here() if client is None else There(client)


def own_workplace() -> Workplace:
    """Return the server that owns the data folder, else the folder; other servers are not considered."""
    client = holding_server(config.data_folder())
    return Here() if client is None else There(client)


def epoch_name(model: TunedModel, epoch: int | None) -> str:
    """Return the id of a tuned model, with the epoch if it is not the epoch in use."""
    return model.id if epoch is None else f"{model.id}@epoch-{epoch}"


class Here:
    """The data folder. Reading it needs no lock; changing it fails with FolderLocked while another process uses it."""

    address = None

    def __init__(self) -> None:
        self._folder = config.data_folder()
        self._library_owned: Library | None = None  # within `verdict`

    def models(self) -> Sequence[TunedModel]:
        with self._library() as library:
            return library.with_interruptions(library.with_scores(library.list()))

    def get(self, name: str) -> TunedModel:
        with self._library() as library:
            return library.with_interruptions(library.with_scores([library.get(name)]))[0]

    def delete(self, model: TunedModel) -> None:
        with self._owned() as library:
            library.delete(model.id)

    def use_epoch(self, model: TunedModel, epoch: int | None) -> TunedModel:
        with self._owned() as library:
            return library.update(model.id, chosen_epoch=epoch)

    def start_next(self, model: TunedModel) -> None:
        with self._owned() as library:
            library.start_next(model)

    def contract_sentences(self, model: TunedModel) -> tuple[str, str]:
        from tunery.service.contracts import contracts_of

        with self._library() as library:
            found = contracts_of(library, model)
        return found.prompt.sentence(), found.output.sentence()

    def card(self, model: TunedModel) -> Document:
        from tunery.engine.catalog import Catalog
        from tunery.service.export import card_of

        with self._library() as library:
            return card_of(library, Catalog(self._folder, config.default_base_model()), model).document()

    def export(self, model: TunedModel, choice: ExportChoice, work: Path) -> Document | None:
        from tunery.engine.catalog import Catalog
        from tunery.service.export import card_of, order, report_kind, write

        catalog = Catalog(self._folder, config.default_base_model())
        with self._library() as library:
            ordered = order(library, catalog, model, choice, python=config.proof_python())
            proof = write(ordered, work, terminal.say)
            if proof is not None:
                try:
                    with self._owned() as owned:
                        owned.put_report(model, report_kind(choice.format), proof)
                except FolderLocked as error:
                    terminal.say(f"The proof was not saved in the library. {error}")
            card_of(library, catalog, model).write(work)
        return proof

    def base(self, name: str) -> tuple[CatalogEntry, str]:
        from tunery.engine.catalog import Catalog

        entry = fetched(name)
        return entry, Catalog(self._folder, config.default_base_model()).digest(entry.name)

    def require_fitting_outputs(self, base: CatalogEntry, dataset: Dataset, column: str) -> None:
        from tunery.engine.encoding import require_fitting_outputs

        require_fitting_outputs(base, self._folder, dataset.examples, dataset.rows, column)

    def estimate(self, plan: Plan) -> MemoryEstimate:
        from tunery.service.creation import memory_here

        return memory_here(plan.base, self._folder, plan.request)

    def times_time(self, fit: FittingSettings, base: CatalogEntry, *rows: Sequence[TuningExample]) -> float | None:
        from tunery.service.auto import AutoSettings

        return AutoSettings.here(fit, base, self._folder, *rows).times_time if fit.differs else None

    @contextmanager
    def job(self, plan: Plan, *, is_resume: bool) -> Iterator[_JobHere]:
        from tunery.service.task import TaskWorker

        with self._owned() as library:
            model = self.unfinished(plan, is_resume=is_resume) or library.create(plan.request)
            yield _JobHere(library, model, TaskWorker.claim(library, model))

    def unfinished(self, plan: Plan, *, is_resume: bool) -> TunedModel | None:
        """Return the model whose unfinished task matches a plan, None if there is none."""
        with self._library() as library:
            found = library.find_unfinished(plan.request.sha256())
            source = plan.request.data.source
            others = [
                one.id for one in library.list() if one.task.data.source == source and not one.task.phase.is_final
            ]
        if found is None:
            where = f"was tuned on other rows of {source} or with other settings"
            if plan.request.id in others:
                raise AlreadyExists(
                    f"{plan.request.id}, unfinished, {where}, so this command cannot resume it. Use the same rows and"
                    f" settings, another --id, or first `tunery models delete {plan.request.id}`."
                )
            if others:
                terminal.say(f"{others[0]}, unfinished, {where}; a new job starts.")
            if is_resume:
                raise NotFound("There is no unfinished tuning job for this command. Leave out --resume to start one.")
        elif found.task.cancel_requested:
            terminal.say(f"The tuning job for {found.id} was cancelled; saving what was tuned so far.")
        else:
            terminal.say(f"Resuming the unfinished tuning job for {found.id}.")
        return found

    def evaluate(self, name: str, request: EvaluationRequest, on_answered: OnAnswered) -> Evaluation:
        model, used, held_out = self._model_and_rows(name)
        rows = held_out if request.rows is None else request.rows
        if not rows:
            raise InvalidArgument("No rows were held out. Give a file of rows, or --folds 5 to use cross-validation.")
        terminal.say("Loading the model ...")
        doing("Loading the model")
        found = self.model(name).evaluate(
            rows,
            examples=used,
            recorded=request.recorded,
            max_rows=request.max_rows,
            seed=request.seed,
            on_answered=on_answered,
        )
        known = request.numbers if model is None or request.rows is not None else self._row_numbers(model)[1]
        found = replace(found, source=request.source).renumbered(known)
        if model is not None:
            self._keep(model, found)
        return found

    def _row_numbers(self, model: TunedModel) -> tuple[tuple[int, ...], tuple[int, ...]]:
        with self._library() as library:
            return library.row_numbers(model)

    def _keep(self, model: TunedModel, found: Evaluation) -> None:
        from tunery.service.reports import keep

        try:
            with self._owned() as library:
                keep(library, model, found)
        except FolderLocked as error:
            terminal.say(f"The report was not saved. {error}")

    def verdict(self, model: TunedModel, on_step: OnStep, on_answered: OnAnswered) -> Evaluation | None:
        """Own the folder meanwhile: a server that is started now would evaluate the model, too."""
        try:
            with self._owned() as self._library_owned:
                return self._verdict(model, on_step, on_answered)
        except FolderLocked:
            if (server := holding_server(self._folder)) is None:
                raise
            terminal.say(f"The server at {server.address} has been started since, and evaluates the model.")
            return There(server).verdict(model, on_step, on_answered)
        finally:
            self._library_owned = None

    def _verdict(self, model: TunedModel, on_step: OnStep, on_answered: OnAnswered) -> Evaluation | None:
        if model.fold_count:
            return self.cross_validate(model.id, EvaluationRequest(), model.fold_count, on_step, on_answered)
        return self.evaluate(model.id, EvaluationRequest(), on_answered) if model.task.held_out_rows else None

    def cross_validate(
        self, name: str, request: EvaluationRequest, folds: int, on_step: OnStep, on_answered: OnAnswered
    ) -> Evaluation:
        from tunery.resampling import Repeated, cross_validate
        from tunery.service.contracts import prompt_options

        model, used, held_out = self._model_and_rows(name)
        rows = (*used, *held_out) if request.rows is None else request.rows
        if not rows:
            raise InvalidArgument(f"{name} is a base; give a file of rows to tune on.")
        how = Repeated(name, seed=request.seed, on_step=on_step)
        if model is not None:
            with self._library() as library:
                limits = prompt_options(library, model).constrains_outputs
            how = Repeated(model.base_model, model.task.hyperparameters, model.task.seed, on_step, limits)
        known = request.numbers if model is None or request.rows is not None else sum(self._row_numbers(model), ())
        other = request.compare_settings
        found = cross_validate(rows, folds, repeated=how, compare_settings=other, on_answered=on_answered)
        found = found.renumbered(known)
        if model is not None and request.rows is None:
            self._keep(model, found)
        return found

    def model(self, name: str) -> Model:
        """Load a tuned model by id or display name, or a base by its name in the catalog."""
        if self.require_model(name):
            from tunery.service.python import of_library

            return of_library(self._folder, name)
        entry = fetched(name)
        from tunery.engine.resident import resident_base
        from tunery.model import Model

        return Model(resident_base(entry.name, self._folder))

    def require_model(self, name: str) -> bool:
        from tunery.engine.catalog import Catalog

        tuned_name, epoch = folders.split_epoch(name)
        with self._library() as library:
            try:
                model = library.get(tuned_name)
            except NotFound as error:
                Catalog(self._folder, config.default_base_model()).require_known(name, str(error))
                return False
            folders.epoch_folder(library.artifact(model)[0], epoch)
        return True

    def rows_of(self, model: TunedModel) -> tuple[Sequence[TuningExample], Sequence[TuningExample]]:
        """Return the rows that a model was tuned on, and its held-out rows."""
        with self._library() as library:
            return library.examples(model)

    def list_users(self) -> list[Document]:
        with self._accounts() as (accounts, wire):
            return [wire.UserMessage.of(user).json_object() for user in accounts.users.all()]

    def add_user(self, address: str, password: str | None, *, is_admin: bool) -> Document:
        with self._accounts() as (accounts, wire):
            return _document(wire.UserMessage.of(accounts.users.add(address, password, is_admin=is_admin)))

    def set_password(self, user: str, password: str) -> Document:
        with self._accounts() as (accounts, wire):
            return _document(wire.UserMessage.of(accounts.users.set_password(user, password)))

    def set_disabled(self, user: str, is_disabled: bool) -> Document:
        with self._accounts() as (accounts, wire):
            return _document(wire.UserMessage.of(accounts.users.set_disabled(user, is_disabled)))

    def setup_link(self, user: str) -> str:
        raise FailedPrecondition(f"A link for {user} needs a running server. Start one with `tunery serve`.")

    def list_keys(self) -> list[Document]:
        with self._accounts() as (accounts, wire):
            keys = accounts.keys.all()
            return [wire.KeyMessage.of(key).json_object() for key in keys]

    def create_key(self, label: str, user: str | None) -> Document:
        with self._accounts() as (accounts, wire):
            return _document(wire.KeyMessage.of(*accounts.keys.create(label, user)))

    def add_key_file(self, address: str, public_key: str, user: str, label: str) -> Document:
        with self._accounts() as (accounts, wire):
            key = accounts.keys.add_key_file(address, public_key, user, label)
            return _document(wire.KeyMessage.of(key))

    def list_tokens(self) -> list[Document]:
        with self._accounts() as (accounts, wire):
            return [wire.TokenMessage.of(token).json_object() for token in accounts.tokens.all()]

    def revoke(self, key: str) -> None:
        with self._accounts() as (accounts, _):
            revoke_first(lambda: accounts.keys.revoke(key), lambda: accounts.tokens.revoke_by_id(key))

    def _model_and_rows(self, name: str) -> tuple[TunedModel | None, Sequence[TuningExample], Sequence[TuningExample]]:
        try:
            model = self.get(name)
        except NotFound:  # perhaps a base
            return None, (), ()
        return model, *self.rows_of(model)

    def _library(self) -> AbstractContextManager[Library]:
        from tunery.service.library import Library

        return Library.open(self._folder, config.shared())

    def _owned(self) -> AbstractContextManager[Library]:
        if self._library_owned is not None:
            return nullcontext(self._library_owned)
        from tunery.service.library import Library

        return Library.own(self._folder, shared=config.shared())

    @contextmanager
    def _accounts(self) -> Iterator[tuple[Accounts, Any]]:
        """Yield the accounts and the module that turns them into documents."""
        from tunery.server.wire import accounts as wire
        from tunery.service.accounts.accounts import Accounts

        with self._owned() as library:
            yield Accounts(library.database, library.folder), wire


class _JobHere:
    def __init__(self, library: Library, model: TunedModel, worker: TaskWorker) -> None:
        self._library, self._model, self._worker = library, model, worker
        self.events, self.cancel = worker.events, worker.cancel

    def outlook(self, *, has_error: bool) -> str:  # noqa: ARG002
        if self._worker.resume_step is not None:
            return f"The same command resumes {self._model.id} at step {self._worker.resume_step}."
        return failed_sentence(self._library.get(self._model.id))


class There:
    """A server."""

    def __init__(self, client: Client) -> None:
        self._client, self.address = client, client.address
        self._here = Here() if client.is_here else None

    def models(self) -> Sequence[TunedModel]:
        if self._here:
            return self._here.models()
        found: list[TunedModel] = []
        page: dict[str, Any] = {"pageSize": PAGE_SIZE}
        while True:
            reply = self._call("GET", "tunedModels", page)
            found += map(received_model, reply.get("tunedModels", ()))
            if "nextPageToken" not in reply:
                return found
            page["pageToken"] = reply["nextPageToken"]

    def get(self, name: str) -> TunedModel:
        if self._here:
            return self._here.get(name)
        model_id = name.removeprefix("tunedModels/")
        if not any(character in model_id for character in "/:"):  # no id contains one
            try:
                return received_model(self._call("GET", f"tunedModels/{quote(model_id)}"))
            except NotFound:
                pass
        named = [model for model in self.models() if model.display_name == name]
        if not named:
            near = did_you_mean(name, [model.id for model in self.models()])
            what_next = near or " `tunery models list` shows the names."
            raise NotFound(f"There is no tuned model {name!r} on the server.{what_next}")
        if len(named) > 1:
            ids = ", ".join(model.id for model in named)
            raise InvalidArgument(f"{len(named)} tuned models are called {name!r}. Choose one by its id: {ids}.")
        return named[0]

    def delete(self, model: TunedModel) -> None:
        self._call("DELETE", model.name)

    def use_epoch(self, model: TunedModel, epoch: int | None) -> TunedModel:
        query, body = {"updateMask": "servedEpoch"}, {"servedEpoch": epoch or 0}
        return received_model(self._call("PATCH", model.name, query, body))

    def start_next(self, model: TunedModel) -> None:
        self._call("POST", f"{model.name}:startNext")

    def contract_sentences(self, model: TunedModel) -> tuple[str, str]:
        if self._here:
            return self._here.contract_sentences(model)
        card = self.card(model)
        return str(card["prompt_sentence"]), str(card["output_sentence"])

    def card(self, model: TunedModel) -> Document:
        return self._call("GET", f"{model.name}:card")

    def export(self, model: TunedModel, choice: ExportChoice, work: Path) -> Document | None:
        with tempfile.TemporaryFile(dir=work.parent) as file:
            self.download(f"tunedModels/{epoch_name(model, choice.epoch)}", choice, file)
            unpack(file, work)
        return None if choice.proves is False else proof_in(work, choice.format)

    def download(self, name: str, choice: ExportChoice, file: IO[bytes]) -> None:
        """Write the tar file of an export into a file; `proves` None lets the server decide."""
        query = {"format": choice.format, "prove": "auto" if choice.proves is None else str(choice.proves).lower()}
        query |= {} if choice.bits is None else {"bits": str(choice.bits)}
        terminal.say("The server is writing the export ...")
        with (
            self._client.streaming("GET", f"{API}/{name}:export", query, timeout=None) as reply,
            LiveLine() as live,
        ):
            show, total = byte_progress(live, "Export"), int(reply.headers["content-length"])
            for piece in reply.iter_bytes():
                file.write(piece)
                show("downloading", file.tell(), total)

    def base(self, name: str) -> tuple[CatalogEntry, str]:
        if self._here:
            return self._here.base(name)
        path = f"models/{quote(name.removeprefix('models/'), safe='')}"
        return received_base(self._call("GET", path)), ""  # only the server needs to know the digest

    def require_fitting_outputs(self, base: CatalogEntry, dataset: Dataset, column: str) -> None:
        if self._here:  # a server on another machine counts the tokens itself, see `create`
            self._here.require_fitting_outputs(base, dataset, column)

    def estimate(self, plan: Plan) -> MemoryEstimate | None:
        return self._here.estimate(plan) if self._here else None

    def times_time(self, fit: FittingSettings, base: CatalogEntry, *rows: Sequence[TuningExample]) -> float | None:
        return self._here.times_time(fit, base, *rows) if self._here else None

    @contextmanager
    def job(self, plan: Plan, *, is_resume: bool) -> Iterator[RemoteJob]:
        if is_resume and self._here is None:
            raise InvalidArgument("--resume is for jobs on this machine; a server resumes its jobs itself.")
        model = self._here and self._here.unfinished(plan, is_resume=is_resume)
        yield RemoteJob(self._client, model or self.create(plan), self.get)

    def create(self, plan: Plan) -> TunedModel:
        """Queue a tuning task with all rows; the server splits them the way the request was split."""
        query = {"tunedModelId": plan.request.id} if plan.request.id else {}
        try:
            reply = self._call("POST", "tunedModels", query, sent_plan(plan))
        except InvalidArgument as error:
            raise InvalidArgument(with_rows_of_file(str(error), plan.dataset.rows)) from error
        return self.get(reply["metadata"]["tunedModel"])

    def evaluate(self, name: str, request: EvaluationRequest, on_answered: OnAnswered) -> Evaluation:
        model = self.get(name)
        body: dict[str, Any] = {"maxRows": request.max_rows, "seed": request.seed}
        if request.rows is not None:
            body |= {"examples": sent_examples(request.rows)["examples"], "source": request.source}
        if request.recorded is not None:
            body["recorded"] = {"title": request.recorded.title, "answers": list(request.recorded.answers)}
        found = self._awaited(model, self._call("POST", f"{model.name}:evaluate", {}, body), on_answered)
        return found.renumbered(request.numbers)

    def verdict(self, model: TunedModel, on_step: OnStep, on_answered: OnAnswered) -> Evaluation | None:  # noqa: ARG002
        if not model.fold_count and not model.task.held_out_rows:
            return None
        known = self._call("GET", f"{model.name}/evaluations").get("evaluations")
        if known and known[0]["state"] != "FAILED":  # the server started it after tuning
            return self._awaited(model, known[0], on_answered)
        body = {"foldCount": model.fold_count} if model.fold_count else {}
        return self._awaited(model, self._call("POST", f"{model.name}:evaluate", {}, body), on_answered)

    def cross_validate(
        self, name: str, request: EvaluationRequest, folds: int, on_step: OnStep, on_answered: OnAnswered
    ) -> Evaluation:
        if self._here is not None and request.rows is not None:
            return self._here.cross_validate(name, request, folds, on_step, on_answered)
        if request.rows is not None:
            raise InvalidArgument("--folds with FILE tunes on this machine; leave out --server.")
        model = self.get(name)
        body = {"foldCount": folds, "compareSettings": request.compare_settings}
        return self._awaited(model, self._call("POST", f"{model.name}:evaluate", {}, body), on_answered)

    def model(self, name: str) -> RemoteModel:
        tuned_name, epoch = folders.split_epoch(name)
        try:
            return RemoteModel(self._client, f"tunedModels/{epoch_name(self.get(tuned_name), epoch)}")
        except NotFound as error:
            try:
                path = f"models/{quote(name.removeprefix('models/'), safe='')}"
                return RemoteModel(self._client, f"models/{received_base(self._call('GET', path)).name}")
            except NotFound:
                raise NotFound(f"{error} There is no base model with that name either.") from None

    def require_model(self, name: str) -> bool:
        return self.model(name).is_tuned

    def list_users(self) -> list[Document]:
        return self._listed("users")

    def add_user(self, address: str, password: str | None, *, is_admin: bool) -> Document:
        return self._call("POST", "accounts/users", body={"id": address, "password": password, "isAdmin": is_admin})

    def set_password(self, user: str, password: str) -> Document:
        return self._call("PATCH", f"accounts/users/{quote(user, safe='')}", body={"password": password})

    def set_disabled(self, user: str, is_disabled: bool) -> Document:
        return self._call("PATCH", f"accounts/users/{quote(user, safe='')}", body={"isDisabled": is_disabled})

    def setup_link(self, user: str) -> str:
        return str(self._call("POST", "accounts/setupLinks", body={"user": user})["uri"])

    def list_keys(self) -> list[Document]:
        return self._listed("keys")

    def create_key(self, label: str, user: str | None) -> Document:
        return self._call("POST", "accounts/keys", body={"label": label, "user": user})

    def add_key_file(self, address: str, public_key: str, user: str, label: str) -> Document:
        body = {"address": address, "publicKey": public_key, "user": user, "label": label}
        return self._call("POST", "accounts/keys", body=body)

    def list_tokens(self) -> list[Document]:
        return self._listed("tokens")

    def revoke(self, key: str) -> None:
        name = quote(key, safe="")
        revoke_first(
            lambda: self._call("DELETE", f"accounts/keys/{name}"),
            lambda: self._call("DELETE", f"accounts/tokens/{name}"),
        )

    def _call(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: object = None) -> Document:
        return self._client.call(method, f"{API}/{path}", query, body)

    def _listed(self, resource: str) -> list[Document]:
        found: list[Document] = self._call("GET", f"accounts/{resource}").get(resource, [])
        return found

    def _awaited(self, model: TunedModel, reply: Document, on_answered: OnAnswered) -> Evaluation:
        from tunery.evaluation.report import read_report

        while reply["state"] == "RUNNING":
            on_answered(reply["answeredPrompts"], reply["totalPrompts"])
            time.sleep(POLL_SECONDS)
            reply = self._call("GET", f"{model.name}:evaluation")
        if reply["state"] == "FAILED":
            raise error_from(reply["error"])
        return read_report(snake_case(reply["report"]))


def _document(message: Any) -> Document:
    document: Document = message.json_object()
    return document


def fetched(name: str, *, is_new: bool = False) -> CatalogEntry:
    """Return the entry of a base, after fetching its weights if they are missing; see `pull`, or `get` if `is_new`."""
    from tunery.engine.pull import get, pull

    with LiveLine() as live:
        show = byte_progress(live, f"Fetching {name}")
        return (get if is_new else pull)(
            name,
            config.data_folder(),
            config.default_base_model(),
            lambda progress: show(progress.stage, progress.done, progress.total),
        )
