"""
Calls a tunery server over HTTP, raises its errors, and turns its replies into domain values.

`named_server` and `holding_server` find the server; the HTTP library is loaded only when one is found.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tunery import config
from tunery.data.decisions import required_question
from tunery.data.outputs import Contracts, OutputContract
from tunery.errors import (
    BodyInvalid,
    InvalidArgument,
    NotFound,
    TuneryError,
    Unauthenticated,
    Unavailable,
    kind_of,
)
from tunery.service.tuning import Ended, Event, PhaseEntered, Started, StepDone
from tunery.types import (
    Answer,
    AnswerForm,
    CatalogEntry,
    Hyperparameters,
    InputCheck,
    Phase,
    PromptDifference,
    SettingsKind,
    State,
    TunedModel,
    TuningExample,
    TuningSnapshot,
    WeightFormat,
)

if TYPE_CHECKING:
    from tunery.cli.output import Plan

API = "/v1beta"
DECISIONS = "/v1/systemone"
TIMEOUT_SECONDS = 600.0  # to wait for a reply, since an answer may have to wait for others
CONNECT_SECONDS = 10.0
MAX_ANSWERS_AT_ONCE = 8  # the number of answers that the server decodes together
POLL_SECONDS = 0.3

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

Document = dict[str, Any]


class Client:
    """
    A server at an address.

    If `is_here`, it serves this user's own data folder, whose files can be read directly.
    """

    def __init__(self, address: str, token: str | None = None, *, is_here: bool = False) -> None:
        import httpx2

        self.address, self.is_here = checked_address(address), is_here
        self._http = httpx2.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_keepalive_connections=0),  # no connection stays open, so there is nothing to close
            trust_env=urlsplit(self.address).hostname not in _LOOPBACK_NAMES,  # a proxy cannot reach this machine
        )

    def other_device(self, chosen: str) -> InvalidArgument:
        """Return the error for a device chosen by a command whose work is done by this server."""
        return InvalidArgument(
            f"--device {chosen}: the server at {self.address} does the work, on its own device. Leave out --device,"
            f" or start that server with `tunery serve --device {chosen}`."
        )

    def call(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: object = None) -> Document:
        """Return the reply to an API call; raise the error that the server answers with."""
        with self._connecting():
            reply = self._http.request(method, path, params=query, json=body)
        document = _document(reply.content)
        if reply.is_success and document is not None:
            return document
        raise self._error(reply.status_code, document)

    def form(self, path: str, fields: Mapping[str, str]) -> tuple[int, Document]:
        """Send a form to an endpoint of the authorization server; return the status and the reply."""
        with self._connecting():
            reply = self._http.request("POST", path, data=fields)
        return reply.status_code, _document(reply.content) or {}

    @contextmanager
    def streaming(
        self, method: str, path: str, query: Mapping[str, str], body: object = None, **options: Any
    ) -> Iterator[Any]:
        """Yield a reply that is read as it arrives; raise the error that the server answers with."""
        with self._connecting(), self._http.stream(method, path, params=query, json=body, **options) as reply:
            if not reply.is_success:
                raise self._error(reply.status_code, _document(reply.read()))
            yield reply

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        import httpx2

        try:
            yield
        except httpx2.HTTPError as error:
            raise Unavailable(f"The server at {self.address} does not answer ({error}). Is it running?") from error

    def _error(self, status: int, document: Document | None) -> TuneryError:
        error = (document or {}).get("error")
        if isinstance(error, dict):
            return error_from(error)
        if document and "detail" in document:
            return BodyInvalid(detail=document["detail"])
        return Unavailable(
            f"The server at {self.address} answered {status} without giving a reason. Is it a tunery server?"
        )


class RemoteModel:
    """A tuned model or base on a server, used like one in memory."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name

    @property
    def is_tuned(self) -> bool:
        return self._name.startswith("tunedModels/")

    def answers(self, texts: Sequence[str], **settings: Any) -> list[Answer]:
        with ThreadPoolExecutor(MAX_ANSWERS_AT_ONCE) as threads:
            return list(threads.map(lambda text: self.answer(text, **settings), texts))

    def answer(self, text: str, **settings: Any) -> Answer:
        path = f"{API}/{self._name}:generateContent"
        reply = self._client.call("POST", path, body=_question(text, settings))
        candidate = reply["candidates"][0]
        labels = tuple(candidate.get("labelProbabilities", {}).items())
        return Answer(str(candidate["content"]["parts"][0]["text"]), labels, received_input_check(reply))

    def decide(self, states: Sequence[Any], questions: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        asked = questions or required_question(self._outputs())

        def answers(state: Any) -> dict[str, Any]:
            body = {"model": self._name, "state": state, "questions": asked}
            return dict(self._client.call("POST", DECISIONS, body=body)["answers"])

        with ThreadPoolExecutor(MAX_ANSWERS_AT_ONCE) as threads:
            return list(threads.map(answers, states))

    def _outputs(self) -> OutputContract | None:
        if not self.is_tuned:
            return None
        card = self._client.call("GET", f"{API}/{self._name.partition('@')[0]}:card")
        found = Contracts.of_document(card)
        return None if found is None else found.output

    def stream(self, text: str, *, on_input_check: Callable[[InputCheck], None], **settings: Any) -> Iterator[str]:
        path, query = f"{API}/{self._name}:streamGenerateContent", {"alt": "sse"}
        with self._client.streaming("POST", path, query, _question(text, settings)) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    chunk = json.loads(line.removeprefix("data: "))
                    if "error" in chunk:
                        raise error_from(chunk["error"])
                    yield chunk["candidates"][0]["content"]["parts"][0]["text"]
                    if "promptContract" in chunk:
                        on_input_check(received_input_check(chunk))


@dataclass(frozen=True, slots=True)
class Waited:
    """A poll brought nothing new; `before` tasks come first, None once the server is working on this one."""

    before: int | None


class RemoteJob:
    """The tuning task of a model on a server; `get` returns the model as it is now."""

    def __init__(self, client: Client, model: TunedModel, get: Callable[[str], TunedModel]) -> None:
        self._client, self._model, self._get = client, model, get
        self._phase = Phase.QUEUED
        self._is_started = False
        self._shown_step = 0

    def cancel(self) -> None:
        self._client.call("POST", f"{API}/{self._model.operation_name}:cancel")

    def events(self) -> Generator[Event | Waited]:
        path = f"{API}/{self._model.operation_name}"
        while True:
            operation = self._client.call("GET", path, {"extensions": "true"})
            yield from self._news(operation["metadata"])
            if operation.get("done"):
                yield Ended(self._ended())
                return
            yield Waited(operation["metadata"].get("waitingBefore"))
            time.sleep(POLL_SECONDS)

    def outlook(self, *, has_error: bool) -> str:
        if not has_error:
            return f"The tuning job of {self._model.id} continues on the server at {self._client.address}."
        try:
            return failed_sentence(self._get(self._model.name))
        except TuneryError:  # the server does not answer, as the error says
            return f"The tuning job of {self._model.id} resumes when the server does."

    def _news(self, metadata: Mapping[str, Any]) -> Generator[Event]:
        phase = Phase(metadata["phase"])
        if phase in (Phase.PREPARING, Phase.PUBLISHING) and phase is not self._phase:
            yield PhaseEntered(phase)
        self._phase = phase
        curve = received_snapshots(metadata.get("snapshots", ()))
        if not self._is_started and (curve or phase is Phase.RUNNING):
            settings = self._get(self._model.name).task.settings
            if settings:
                yield Started(settings, 1, metadata["totalSteps"])
                self._is_started = True
        for snapshot in curve if self._is_started else ():
            if snapshot.step > self._shown_step:
                yield StepDone(snapshot)
                self._shown_step = snapshot.step

    def _ended(self) -> TunedModel:
        model = self._get(self._model.name)
        if model.task.phase is Phase.FAILED:
            message = model.task.error_message or "The tuning job failed."
            raise error_from({"code": model.task.error_code, "message": message})
        return model


def failed_sentence(model: TunedModel) -> str:
    """Return a sentence on where to look if a model is FAILED, else an empty text."""
    if model.state is not State.FAILED:
        return ""
    return f"{model.id} is listed as FAILED. See its curve with: tunery models show {model.id}"


def named_server(address: str | None) -> Client | None:
    """Return the server of --server or $TUNERY_SERVER, None if neither is given."""
    address = address or config.server_address()
    if address is None:
        return None
    here = holding_server(config.data_folder())
    if here is not None and here.address == checked_address(address):
        return here
    token = config.server_token()
    if token is None:
        raise Unauthenticated(f"Set TUNERY_TOKEN to a token of the server at {address}.")
    return Client(address, token)


def holding_server(data_folder: Path) -> Client | None:
    """Return the server that owns a data folder now, None if none does."""
    from tunery.service.folder import DataFolder

    folder = DataFolder(data_folder)
    holder = folder.server()
    if (
        holder is None or holder.address is None or not folder.local_token.is_file()
    ):  # without this token, the server has just stopped
        return None
    return Client(holder.address, folder.local_token.read_text("ascii").strip(), is_here=True)


def checked_address(address: str) -> str:
    """Return an address without a slash at its end; raise InvalidArgument unless tokens may be sent there."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidArgument(f"{address!r} is not the address of a server, such as https://tunery.example.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK_NAMES:
        raise InvalidArgument(f"{address} is not encrypted: others could read your token. Use https.")
    return address.rstrip("/")


def error_from(value: Mapping[str, Any]) -> TuneryError:
    """Return the error described by the status of a reply, or by the google.rpc code of a failed task."""
    return kind_of(value.get("status") or value.get("code"))(str(value.get("message")))


def snake_case(value: Any) -> Any:
    """Return a JSON value of the API with tunery's field names, as printed by `--json`."""
    if isinstance(value, list):
        return [snake_case(item) for item in value]
    if isinstance(value, dict):
        return {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", k): snake_case(v) for k, v in value.items()}
    return value


def received_model(reply: Mapping[str, Any]) -> TunedModel:
    """Return a tuned model; only the server knows where its adapter is."""
    from pydantic import TypeAdapter

    model, task, error = snake_case(reply), reply["tuningTask"], reply.get("error", {})
    model_id = reply["name"].removeprefix("tunedModels/")
    facts = {
        "id": "",
        "tuned_model_id": model_id,
        "held_out_rows": 0,
        **snake_case(task),
        "settings": task.get("settings", {}),  # their keys are already names
        "versions": task.get("versions", {}),
        "create_time": reply["createTime"],
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "operation_id": reply["operation"].rpartition("/")[2],
        "snapshots": received_snapshots(task.get("snapshots", ())),
    }
    named = {"id": model_id, "display_name": "", "description": "", **model, "base_model": reply["baseWeights"]}
    named["chosen_epoch"] = reply.get("servedEpoch")
    named["source_tuned_model"] = _id_of(reply.get("tunedModelSource", {}).get("tunedModel"))
    named["tuned_again_from"] = _id_of(reply.get("tunedAgainFrom"))
    return TypeAdapter(TunedModel).validate_python({**named, "task": facts})


def _id_of(name: str | None) -> str | None:
    return name.removeprefix("tunedModels/") if name else None


def received_base(reply: Mapping[str, Any]) -> CatalogEntry:
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


def received_input_check(reply: Mapping[str, Any]) -> InputCheck:
    """Return how the input of an answer differs from the examples; in a reply without that field it does not differ."""
    found = reply.get("promptContract", {})
    differences = tuple(PromptDifference(each["kind"], each["text"]) for each in found.get("differences", ()))
    return InputCheck(differences, was_wrapped=found.get("wrapped", False))


def received_snapshots(replies: Iterable[Mapping[str, Any]]) -> Sequence[TuningSnapshot]:
    """Return a curve; a snapshot without an epoch belongs to epoch 0."""
    from pydantic import TypeAdapter

    return TypeAdapter(tuple[TuningSnapshot, ...]).validate_python([{"epoch": 0, **snake_case(r)} for r in replies])


def revoke_first(key: Callable[[], object], token: Callable[[], object]) -> None:
    """Revoke the key with this id, or else the token; if there is neither, raise the error about the key."""
    try:
        key()
    except NotFound as error:
        try:
            token()
        except NotFound:
            raise error from None


def sent_examples(rows: Sequence[TuningExample]) -> Document:
    return {"examples": {"examples": [{"textInput": row.text_input, "output": row.output} for row in rows]}}


def sent_plan(plan: Plan) -> Document:
    """Return the request to tune with all rows of a plan; what fits the data is for the server to choose, too."""
    from pydantic.alias_generators import to_camel

    from tunery.evaluation.contest import AUTOMATIC

    request, settings = plan.request, plan.request.hyperparameters
    numbers: Document = {
        "epochCount": settings.epoch_count,
        "batchSize": settings.batch_size,
        "learningRate": settings.learning_rate,
        **({"labelShare": settings.label_share} if settings.label_share else {}),
        **({"weights": settings.weights} if settings.weights != WeightFormat.AUTO else {}),
    }
    if request.settings_reason is not None:
        given = {to_camel(name): plan.given[name] for name in Hyperparameters.__slots__ if name in plan.given}
        numbers = {"settings": SettingsKind.AUTO, **given}
    task = {
        "trainingData": sent_examples(plan.dataset.examples),
        "hyperparameters": numbers,
        "holdOut": str(plan.given.get("hold_out", AUTOMATIC)),
        "seed": request.seed,
        "data": {"source": request.data.source},
    }
    body = {"baseModel": plan.asked_base, "tuningTask": task, "description": request.description or None}
    return body | ({} if request.display_name is None else {"displayName": request.display_name})


_EXAMPLE_PATH = re.compile(r"tuningTask\.trainingData\.examples\.examples\[(?P<place>\d{1,7})\](\.(?P<field>\w+))?")


def with_rows_of_file(message: str, rows: Sequence[int]) -> str:
    """Return a server's message about examples with the row numbers of the user's file."""

    def in_file(found: re.Match[str]) -> str:
        place = int(found["place"])
        row = rows[place] if place < len(rows) else place + 1
        return f"Row {row}, {found['field']}" if found["field"] else f"Row {row}"

    return _EXAMPLE_PATH.sub(in_file, message)


def proof_in(work: Path, export_format: str) -> Document | None:
    """Return the proof of an export from the card in its folder."""
    from tunery.card import CARD_JSON

    exports = json.loads((work / CARD_JSON).read_text("utf-8"))["exports"]
    return next((export for export in exports if export["format"] == export_format), None)


def _question(text: str, settings: Mapping[str, Any]) -> Document:
    configuration = {
        "temperature": settings["temperature"],
        "topP": settings["top_p"],
        "topK": settings["top_k"] or 0,  # 0: all tokens, whatever the default of the model is
        "maxOutputTokens": settings["max_output_tokens"],
        "stopSequences": list(settings["stop_sequences"]),
        "seed": settings["seed"],
        **_form(settings),
    }
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": configuration}


def _form(settings: Mapping[str, Any]) -> Document:
    form: AnswerForm | None = settings.get("form")
    none_below = {"noneBelow": settings["none_below"]} if settings.get("none_below") else {}
    if settings.get("constrain_to_training_outputs"):
        return {"constrainToTrainingOutputs": True, **none_below}
    if form is None:
        is_free = settings.get("constrain_to_training_outputs") is False
        return {"constrainToTrainingOutputs": False} if is_free else none_below
    if form.labels:
        return {"responseMimeType": "text/x.enum", "responseJsonSchema": {"enum": list(form.labels)}, **none_below}
    try:
        schema = json.loads(form.json_schema or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The JSON schema cannot be read: {error}.") from error
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


def _document(content: bytes) -> Document | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


_TAR_END_BYTES = 1024  # two empty blocks of 512


def unpack(file: IO[bytes], folder: Path) -> None:
    """Unpack the archive that a server sent; raise Unavailable if the end is missing, wherever it was cut off."""
    broken = Unavailable("The export was cut off on its way from the server. Export it again.")
    if file.seek(0, os.SEEK_END) < _TAR_END_BYTES:
        raise broken
    file.seek(-_TAR_END_BYTES, os.SEEK_END)
    if any(file.read()):  # a tar file that is cut off between two files does not look damaged
        raise broken
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                _write_member(archive, member, folder)
    except tarfile.TarError as error:
        raise broken from error


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """
    Write a file of an archive below a folder. Python before 3.11.4 has no filter that would make this unnecessary.
    """
    path, content = (folder / member.name).resolve(), archive.extractfile(member) if member.isfile() else None
    if content is None or not path.is_relative_to(folder.resolve()):
        raise Unavailable(f"The server sent {member.name!r}, which does not belong in an export.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
