"""
A running server in place of the data folder: the one that holds it, or the one that --server names.

Speaks the public HTTP API and gives the commands the values that they know; errors come back as what the server raised.
Knows addresses, tokens and paths; nothing of terminals. The HTTP library is loaded when a server is talked to.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from tunery import config, errors
from tunery.errors import (
    FailedPrecondition,
    FolderLocked,
    InvalidArgument,
    NotFound,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from tunery.service import folder
from tunery.service.phases import Ended, Event, PhaseEntered, Started, StepDone
from tunery.types import (
    Advice,
    Answer,
    AnswerForm,
    CatalogEntry,
    DataFacts,
    EpochLoss,
    Hyperparameters,
    InputCheck,
    Phase,
    PromptDifference,
    State,
    TunedModel,
    TuningExample,
    TuningSnapshot,
    TuningTask,
)

if TYPE_CHECKING:
    from tunery.evaluation.contest import Recorded
    from tunery.evaluation.report import Evaluation
    from tunery.service.requests import TuningRequest

TIMEOUT_SECONDS = 600.0  # of an answer; a connection has to be there sooner
CONNECT_SECONDS = 10.0
MAX_ANSWERS_AT_ONCE = 8  # what the server decodes together
PAGE_SIZE = 200
LOOK_SECONDS = 0.5  # between two looks at what a server works on

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Server:
    """
    A server that commands talk to.

    `is_here` says that it holds this user's own data folder, so that its files can be read beside it.
    """

    def __init__(self, address: str, token: str, *, is_here: bool = False) -> None:
        import httpx2

        self.address, self.is_here = address.rstrip("/"), is_here
        # a proxy for the internet knows no way to this machine
        trusts = urlsplit(address).hostname not in _LOOPBACK
        self._client = httpx2.Client(
            base_url=f"{self.address}/v1beta/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_keepalive_connections=0),  # nothing stays open that a command would have to close
            trust_env=trusts,
        )

    def models(self) -> list[TunedModel]:
        """Return the tuned models of the user, newest first."""
        found: list[TunedModel] = []
        page: dict[str, Any] = {"pageSize": PAGE_SIZE}
        while True:
            reply = self._call("GET", "tunedModels", page)
            found += map(received_model, reply.get("tunedModels", ()))
            if "nextPageToken" not in reply:
                return found
            page["pageToken"] = reply["nextPageToken"]

    def get(self, name: str) -> TunedModel:
        """Return the tuned model called `tunedModels/x`, `x`, or by its display name if only one has it."""
        model_id = name.removeprefix("tunedModels/")
        if not any(character in model_id for character in "/:"):  # neither stands in an id
            try:
                return received_model(self._call("GET", f"tunedModels/{quote(model_id)}"))
            except NotFound:
                pass
        named = [model for model in self.models() if model.display_name == name]
        if not named:
            raise NotFound(f"There is no tuned model {name!r} on the server. `tunery models list` shows the names.")
        if len(named) > 1:
            ids = ", ".join(model.id for model in named)
            raise InvalidArgument(f"{len(named)} tuned models are called {name!r}. Name one by its id: {ids}.")
        return named[0]

    def base(self, name: str) -> CatalogEntry:
        """Return a base model of the server."""
        return received_base(self._call("GET", f"models/{quote(name.removeprefix('models/'), safe='')}"))

    def create(
        self, request: TuningRequest, rows: Sequence[TuningExample], asked_base: str, hold_out: str
    ) -> TunedModel:
        """Queue a tuning task: the whole data, which the server splits as `request` was split."""
        settings = request.hyperparameters
        values = {
            "epochCount": settings.epoch_count,
            "batchSize": settings.batch_size,
            "learningRate": settings.learning_rate,
        }
        examples = [{"textInput": row.text_input, "output": row.output} for row in rows]
        task = {
            "trainingData": {"examples": {"examples": examples}},
            "hyperparameters": values,
            "holdOut": hold_out,
            "seed": request.seed,
            "data": {"source": request.data.source},
        }
        body = {"baseModel": asked_base, "tuningTask": task, "description": request.description or None}
        if request.display_name is not None:
            body["displayName"] = request.display_name
        reply = self._call("POST", "tunedModels", {"tunedModelId": request.id} if request.id else {}, body)
        return self.get(reply["metadata"]["tunedModel"])

    def operation(self, model: TunedModel) -> Mapping[str, Any]:
        """Return the operation that makes a tuned model."""
        return self._call("GET", model.operation_name, {"extensions": "true"})

    def cancel(self, model: TunedModel) -> None:
        """Ask to cancel the task of a tuned model."""
        self._call("POST", f"{model.operation_name}:cancel")

    def delete(self, model: TunedModel) -> None:
        """Delete a tuned model."""
        self._call("DELETE", model.name)

    def evaluate(
        self,
        model: TunedModel,
        rows: Sequence[TuningExample] | None,
        source: str,
        recorded: Recorded | None,
        max_rows: int,
        seed: int,
        on_answered: Callable[[int, int], None],
    ) -> Evaluation:
        """Have a tuned model evaluated, on its held-out rows or on those given, and wait for the report."""
        body: dict[str, Any] = {"maxRows": max_rows, "seed": seed}
        if rows is not None:
            body["examples"] = {"examples": [{"textInput": row.text_input, "output": row.output} for row in rows]}
            body["source"] = source
        if recorded is not None:
            body["recorded"] = {"title": recorded.title, "answers": list(recorded.answers)}
        return self._awaited_evaluation(model, self._call("POST", f"{model.name}:evaluate", {}, body), on_answered)

    def verdict(self, model: TunedModel, max_rows: int, on_answered: Callable[[int, int], None]) -> Evaluation:
        """Return the evaluation of a tuned model on its held-out rows, that which the server began by itself if any."""
        known = self._call("GET", f"{model.name}/evaluations").get("evaluations")
        if known and known[0]["state"] != "FAILED":
            return self._awaited_evaluation(model, known[0], on_answered)
        return self.evaluate(model, None, "held-out rows", None, max_rows, 0, on_answered)

    def _awaited_evaluation(
        self, model: TunedModel, reply: dict[str, Any], on_answered: Callable[[int, int], None]
    ) -> Evaluation:
        while reply["state"] == "RUNNING":
            on_answered(reply["answeredPrompts"], reply["totalPrompts"])
            time.sleep(LOOK_SECONDS)
            reply = self._call("GET", f"{model.name}:evaluation")
        if reply["state"] == "FAILED":
            raise error_of_code(reply["error"]["code"], reply["error"]["message"])
        return received_evaluation(reply["report"])

    def model(self, name: str) -> ServedModel:
        """Return a tuned or base model to be asked; raises NotFound if there is neither."""
        plain_name, epoch = folder.split_epoch(name)
        try:
            found = self.get(plain_name).name
            return ServedModel(self, found if epoch is None else f"{found}@epoch-{epoch}")
        except NotFound as error:
            try:
                return ServedModel(self, f"models/{self.base(name).name}")
            except NotFound:
                raise NotFound(f"{error} Nor is there a base model of that name.") from None

    def pieces(
        self, name: str, text: str, settings: Mapping[str, Any], on_input_check: Callable[[InputCheck], None]
    ) -> Iterator[str]:
        """Yield an answer as it is made; what its input has otherwise than the examples is told at the end."""
        request = self._client.build_request(
            "POST", f"{name}:streamGenerateContent", params={"alt": "sse"}, json=_question(text, settings)
        )
        with self._errors():
            reply = self._client.send(request, stream=True)
            try:
                if reply.status_code != 200:
                    raise _raised(reply.read(), reply.status_code)
                for line in reply.iter_lines():
                    if line.startswith("data: "):
                        chunk = json.loads(line.removeprefix("data: "))
                        if "error" in chunk:
                            raise _error(chunk["error"])
                        yield chunk["candidates"][0]["content"]["parts"][0]["text"]
                        if "promptContract" in chunk:
                            on_input_check(received_input_check(chunk))
            finally:
                reply.close()

    def answer(self, name: str, text: str, settings: Mapping[str, Any]) -> Answer:
        """Return a whole answer."""
        reply = self._call("POST", f"{name}:generateContent", {}, _question(text, settings))
        candidate = reply["candidates"][0]
        labels = tuple(candidate.get("labelProbabilities", {}).items())
        return Answer(str(candidate["content"]["parts"][0]["text"]), labels, received_input_check(reply))

    def card(self, model: TunedModel) -> dict[str, Any]:
        """Return the card of a tuned model."""
        return self._call("GET", f"{model.name}:card")

    def export(self, name: str, export_format: str, proves: bool | None, file: IO[bytes]) -> None:
        """Write the tar file of an export into a file; `proves` None leaves it to the server."""
        prove = "auto" if proves is None else str(proves).lower()
        query = {"format": export_format, "prove": prove}
        with self._errors(), self._client.stream("GET", f"{name}:export", params=query, timeout=None) as reply:
            if reply.status_code != 200:
                raise _raised(reply.read(), reply.status_code)
            for piece in reply.iter_bytes():
                file.write(piece)

    def _call(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: object = None
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        with self._errors():
            reply = self._client.request(method, path, params=query, content=content)
        if reply.status_code != 200:
            raise _raised(reply.content, reply.status_code)
        value: dict[str, Any] = reply.json()
        return value

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx2

        try:
            yield
        except httpx2.HTTPError as error:
            raise Unavailable(f"The server at {self.address} does not answer ({error}).") from error


class ServedModel:
    """A model of a server, asked as one in memory is."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._name = server, name

    @property
    def is_tuned(self) -> bool:
        return self._name.startswith("tunedModels/")

    def answers(self, texts: Sequence[str], **settings: Any) -> list[Answer]:
        """Return the answers to several texts, several of which are asked at once."""
        with ThreadPoolExecutor(MAX_ANSWERS_AT_ONCE) as threads:
            return list(threads.map(lambda text: self.answer(text, **settings), texts))

    def answer(self, text: str, **settings: Any) -> Answer:
        """Return the answer to a text with the probabilities of its labels."""
        return self._server.answer(self._name, text, settings)

    def stream(self, text: str, *, on_input_check: Callable[[InputCheck], None], **settings: Any) -> Iterator[str]:
        """Yield the answer as it is made."""
        return self._server.pieces(self._name, text, settings, on_input_check)


def asked_server(address: str | None) -> Server | None:
    """Return the server of --server or $TUNERY_SERVER, None if neither is given; raises Unauthenticated."""
    address = address or config.server_address()
    if address is None:
        return None
    if urlsplit(address).scheme not in ("http", "https"):
        raise InvalidArgument(f"The address of a server begins with http:// or https://, {address!r} does not.")
    here = holding_server(config.data_folder())
    if here is not None and here.address == address.rstrip("/"):
        return here
    token = config.server_token()
    if token is None:
        raise Unauthenticated(f"Set TUNERY_TOKEN to a token of the server at {address}.")
    return Server(address, token)


def holding_server(data_folder: Path) -> Server | None:
    """Return the server that holds a data folder at this moment, None if no server does."""
    from tunery.service.folder import DataFolder

    holder = DataFolder(data_folder).server()
    if holder is None or holder.address is None:
        return None
    proof = data_folder / "local-token"
    if not proof.is_file():  # it has just stopped
        return None
    token = proof.read_text("utf-8").strip()
    return Server(holder.address, token, is_here=True)


def _question(text: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    configuration = {
        "temperature": settings["temperature"],
        "topP": settings["top_p"],
        "topK": settings["top_k"] or 0,  # 0 says all, whatever the model's own default is
        "maxOutputTokens": settings["max_output_tokens"],
        "stopSequences": list(settings["stop_sequences"]),
        "seed": settings["seed"],
        **_form(settings),
    }
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": configuration}


def _form(settings: Mapping[str, Any]) -> dict[str, Any]:
    form: AnswerForm | None = settings.get("form")
    none_below = {"noneBelow": settings["none_below"]} if settings.get("none_below") else {}
    if settings.get("constrain_to_training_outputs"):
        return {"constrainToTrainingOutputs": True, **none_below}
    if form is None:
        return {}
    if form.labels:
        return {"responseMimeType": "text/x.enum", "responseJsonSchema": {"enum": list(form.labels)}, **none_below}
    try:
        schema = json.loads(form.json_schema or "{}")
    except ValueError as error:
        raise InvalidArgument(f"The JSON schema cannot be read: {error}.") from error
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


def error_of_code(code: int, message: str) -> TuneryError:
    """Return the error with a google.rpc code."""
    return next((kind(message) for kind in _kinds() if kind.code == code), TuneryError(message))


def _raised(content: bytes, status: int) -> TuneryError:
    try:
        return _error(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return TuneryError(f"The server answered with status {status}, which is not an answer of tunery.")


def _error(value: Mapping[str, Any]) -> TuneryError:
    kind = next((kind for kind in _kinds() if kind.status == value.get("status")), TuneryError)
    return kind(str(value["message"]))


def _kinds() -> list[type[TuneryError]]:
    """Return the classes that stand for a status each, not those below them."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TuneryError)]
    return [kind for kind in found if kind.__base__ is TuneryError]


Reply = Mapping[str, Any]


def received_model(reply: Reply) -> TunedModel:
    """Return a tuned model; where its adapter lies only the server knows."""
    created = datetime.fromisoformat(reply["createTime"])
    model_id = reply["name"].removeprefix("tunedModels/")
    return TunedModel(
        id=model_id,
        display_name=reply.get("displayName", ""),
        description=reply.get("description", ""),
        base_model=reply["baseWeights"],
        base_digest=reply["baseDigest"],
        state=State(reply["state"]),
        task=_task(reply, model_id, created),
        create_time=created,
        update_time=datetime.fromisoformat(reply["updateTime"]),
    )


def received_base(reply: Reply) -> CatalogEntry:
    """Return a base model of the server's catalog."""
    return CatalogEntry(
        name=reply["name"].removeprefix("models/"),
        display_name=reply["displayName"],
        description=reply["description"],
        source="",
        licence="",
        input_token_limit=reply["inputTokenLimit"],
        output_token_limit=reply["outputTokenLimit"],
        is_present=True,
    )


def received_evaluation(report: Reply) -> Evaluation:
    """Return a report about a tuned model."""
    from tunery.evaluation.report import from_document

    return from_document(_snake(report))


def received_input_check(reply: Reply) -> InputCheck:
    """Return what the reply to a question says of its input; a reply that says nothing found nothing."""
    found = reply.get("promptContract", {})
    differences = tuple(PromptDifference(each["kind"], each["text"]) for each in found.get("differences", ()))
    return InputCheck(differences, was_wrapped=found.get("wrapped", False))


def received_snapshots(replies: list[Reply]) -> tuple[TuningSnapshot, ...]:
    """Return a curve; an epoch that is not there is 0."""
    return tuple(
        TuningSnapshot(
            reply["step"], reply.get("epoch", 0), float(reply["meanLoss"]), datetime.fromisoformat(reply["computeTime"])
        )
        for reply in replies
    )


def _task(reply: Reply, model_id: str, created: datetime) -> TuningTask:
    task, error, data = reply["tuningTask"], reply.get("error", {}), reply["tuningTask"]["data"]
    advice, settings = task.get("advice"), task["hyperparameters"]
    return TuningTask(
        id="",
        tuned_model_id=model_id,
        phase=Phase(task["phase"]),
        hyperparameters=Hyperparameters(settings["epochCount"], settings["batchSize"], settings["learningRate"]),
        seed=task["seed"],
        data=DataFacts(data["rows"], data["sha256"], data["source"]),
        held_out_rows=task.get("heldOutRows", 0),
        total_steps=task["totalSteps"],
        completed_steps=task["completedSteps"],
        create_time=created,
        start_time=_time(task.get("startTime")),
        complete_time=_time(task.get("completeTime")),
        error_code=error.get("code"),
        error_message=error.get("message"),
        operation_id=reply["operation"].rpartition("/")[2],
        snapshots=received_snapshots(task.get("snapshots", [])),
        epoch_losses=tuple(
            EpochLoss(loss["epoch"], float(loss["meanLoss"]), loss.get("heldOutLoss"))
            for loss in task.get("epochLosses", ())
        ),
        advice=Advice(advice["kind"], advice["text"], advice.get("epochCount")) if advice else None,
        settings=task.get("settings", {}),
        versions=task.get("versions", {}),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _snake(value: Any) -> Any:
    """Return a report with our own field names; keys of answers are names already."""
    if isinstance(value, list):
        return [_snake(item) for item in value]
    if isinstance(value, dict):
        return {
            re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): _snake(inner) for name, inner in value.items()
        }
    return value


SIGN_IN_TIMEOUT_SECONDS = 30
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

Document = dict[str, Any]


class Remote:
    """A server at an address, with a token for it; to be used in a `with` block."""

    def __init__(self, address: str, token: str | None = None) -> None:
        import httpx2

        self.address = checked_address(address)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # what goes to this machine does not go through the proxy of a company
        trusts_proxy = urlsplit(self.address).hostname not in _LOOPBACK_NAMES
        self._client = httpx2.Client(
            base_url=self.address, headers=headers, timeout=SIGN_IN_TIMEOUT_SECONDS, trust_env=trusts_proxy
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Document:
        """Return the reply to a call of the API; raises what the server says went wrong."""
        reply = self._sent(method, path, json=body)
        document = _document(reply)
        if reply.status_code >= 400:
            raise _remote_error(document, reply.status_code)
        return document

    def form(self, path: str, fields: Mapping[str, str]) -> tuple[int, Document]:
        """Return status and reply to a form, as the endpoints of the authorization server take it."""
        reply = self._sent("POST", path, data=fields)
        return reply.status_code, _document(reply)

    def _sent(self, method: str, path: str, **content: Any) -> Any:
        import httpx2

        try:
            return self._client.request(method, path, **content)
        except httpx2.TransportError as error:
            raise Unavailable(
                f"No server answers at {self.address} ({type(error).__name__}). Is it running?"
            ) from error


def checked_address(address: str) -> str:
    """Return an address without a slash at its end; raises InvalidArgument unless tokens may be sent there."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidArgument(f"{address!r} is not the address of a server, such as https://tunery.example.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK_NAMES:
        raise InvalidArgument(f"{address} is not encrypted: your token could be read on its way. Use https.")
    return address.rstrip("/")


def local_server(data_folder: Path) -> tuple[str, str]:
    """
    Return address and local proof of the server that owns a data folder.

    Raises FailedPrecondition if there is none, FolderLocked if its owner is not a server.
    """
    from tunery.service.folder import DataFolder

    folder = DataFolder(data_folder)
    holder = folder.holder()
    if holder is None or not folder.local_token.exists():
        raise FailedPrecondition(
            f"No server uses the data folder {data_folder}. Start one with `tunery serve`, or name one with --server."
        )
    if holder.address is None:
        raise FolderLocked(f"Process {holder.pid} is using the data folder {data_folder}; wait until it is done.")
    return holder.address, folder.local_token.read_text("ascii").strip()


def _document(reply: Any) -> Document:
    try:
        document = reply.json()
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}


def _remote_error(document: Document, status: int) -> TuneryError:
    said = document.get("error")
    if not isinstance(said, dict):
        return Unavailable(f"The server answered {status} and did not say why. Is it a tunery server?")
    kinds = {kind.status: kind for kind in _own_kinds()}
    return kinds.get(str(said.get("status")), TuneryError)(str(said.get("message")))


def _own_kinds() -> list[type[TuneryError]]:
    """Return the classes that stand for a status themselves: those right below the base."""
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__base__ is TuneryError]


TASK_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Waited:
    """Some time went by; `before` tasks wait before this one, None once it is worked on."""

    before: int | None


class RemoteTask:
    """The task of a tuned model on a server."""

    def __init__(self, server: Server, model: TunedModel) -> None:
        self._server, self._model = server, model
        self._phase = Phase.QUEUED
        self._is_started = False
        self._shown_step = 0

    def cancel(self) -> None:
        """Ask to end the task, and to keep what was tuned."""
        self._server.cancel(self._model)

    def events(self) -> Generator[Event | Waited]:
        """Yield what happens until the task ends; raises the error that it FAILED with."""
        while True:
            operation = self._server.operation(self._model)
            yield from self._news(operation["metadata"])
            if operation.get("done"):
                yield Ended(self._ended())
                return
            yield Waited(operation["metadata"].get("waitingBefore"))
            time.sleep(TASK_POLL_SECONDS)

    def _news(self, metadata: Mapping[str, Any]) -> Generator[Event]:
        phase = Phase(metadata["phase"])
        if phase in (Phase.PREPARING, Phase.PUBLISHING) and phase is not self._phase:
            yield PhaseEntered(phase)
        self._phase = phase
        curve = received_snapshots(metadata.get("snapshots", []))
        if not self._is_started and (curve or phase is Phase.RUNNING):
            settings = self._server.get(self._model.name).task.settings
            if settings:
                yield Started(settings, 1, metadata["totalSteps"])
                self._is_started = True
        for snapshot in curve if self._is_started else ():
            if snapshot.step > self._shown_step:
                yield StepDone(snapshot)
                self._shown_step = snapshot.step

    def _ended(self) -> TunedModel:
        model = self._server.get(self._model.name)
        if model.task.phase is Phase.FAILED:
            raise error_of_code(model.task.error_code or 13, model.task.error_message or "The tuning job failed.")
        return model
