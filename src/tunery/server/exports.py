"""
Exports of tuned models (extension): a tar file, written by a child process and streamed from disk; and the model card.

One export at a time, because each loads a base into memory.
"""

from __future__ import annotations

import asyncio
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Request
from pydantic import Field
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from tunery import config
from tunery.errors import InvalidArgument, ResourceExhausted
from tunery.files import all_below
from tunery.server.http import ApiRouter, JsonReply, Services, ServicesOf
from tunery.server.security import CallerOf, holds
from tunery.server.shares import Places, in_own_thread
from tunery.server.wire.messages import Message
from tunery.service import export
from tunery.service import folder as epochs
from tunery.service.access import Action
from tunery.service.export import ExportChoice, ExportOrder, card_of, exported
from tunery.types import Caller, TunedModel

router = ApiRouter(tags=["tunedModels (extension)"])

PIECE_BYTES = 1 << 20
EXPORTS = Places("exports are being made or sent", size=4, line=0)  # each takes as much disk space as a base
CARD_FORMATS = ("json", "markdown")
LOOK_SECONDS = 1.0  # between two checks whether the client is still there
_BLOCK = 512  # of tar
_END = bytes(2 * _BLOCK)

_one_at_a_time = threading.Semaphore(1)


@router.get(
    "/tunedModels/{model_id:id}:export",
    name="ExportTunedModel",
    responses={
        200: {
            "description": "A tar file.",
            "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    dependencies=[holds(EXPORTS)],
)
async def export_tuned_model(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    model_id: str,
    format: str | None = None,
    bits: int | None = None,
    prove: str | None = None,
) -> Response:
    """
    Export a tuned model: `format` adapter, merged or gguf, in which a weight has 16 or 8 `bits` (default: both files).

    `prove=true` compares it with the served model first. An export is cancelled if its client stops waiting for it.
    """
    plain_id, epoch = epochs.split_epoch(model_id)
    choice = ExportChoice(format or "adapter", epoch, bits, {"true": True, "auto": None}.get(prove or "", False))
    has_left = threading.Event()
    work = asyncio.ensure_future(in_own_thread(partial(_exported, services, caller, plain_id, choice, has_left.is_set)))
    while not (await asyncio.wait({work}, timeout=LOOK_SECONDS))[0]:
        if await request.is_disconnected():
            has_left.set()
    return work.result()


def _exported(
    services: Services, caller: Caller, model_id: str, choice: ExportChoice, is_unwanted: Callable[[], bool]
) -> Response:
    library = services.library
    library.sharing.require(caller, Action.READ, model_id)
    model = library.find(model_id)
    ordered = export.order(library, services.catalog, model, choice, python=config.proof_python())
    library.record("ExportTunedModel", model, format=choice.format, bits=choice.bits, epoch=choice.epoch)
    name = f"{model_id}@epoch-{choice.epoch}" if choice.epoch else model_id
    return _TarReply(_made(services, model, ordered, is_unwanted), f"{name}-{choice.format}.tar")


class ExportFormatOut(Message):
    """A format that a tuned model can be exported to."""

    format: str
    bits: Annotated[int | None, Field(description="Per weight; only for gguf.")]
    size_bytes: Annotated[int, Field(description="About how large the export is, for the chosen epoch.")]


class ExportFormatsOut(Message):
    """The formats that a tuned model can be exported to."""

    export_formats: list[ExportFormatOut]


@router.get("/tunedModels/{model_id:id}/exportFormats", name="ListExportFormats")
def list_formats(services: ServicesOf, caller: CallerOf, model_id: str) -> ExportFormatsOut:
    """List the formats that a tuned model can be exported to, with the approximate size of each export."""
    services.library.sharing.require(caller, Action.READ, model_id)
    found = export.sizes(services.library, services.catalog, services.library.find(model_id))
    return ExportFormatsOut(
        export_formats=[ExportFormatOut(format=one.format, bits=one.bits, size_bytes=one.size_bytes) for one in found]
    )


@router.get("/tunedModels/{model_id:id}:card", name="GetModelCard")
def get_card(services: ServicesOf, caller: CallerOf, model_id: str, format: str | None = None) -> Response:
    """Return the card of a tuned model, as JSON or with `format=markdown` as Markdown."""
    services.library.sharing.require(caller, Action.READ, model_id)
    card_format = format or "json"
    if card_format not in CARD_FORMATS:
        raise InvalidArgument(f"format must be one of {', '.join(CARD_FORMATS)}, not {card_format!r}.")
    card = card_of(services.library, services.catalog, services.library.find(model_id))
    return JsonReply(card.document()) if card_format == "json" else PlainTextResponse(card.markdown())


def _made(services: Services, model: TunedModel, ordered: ExportOrder, is_unwanted: Callable[[], bool]) -> Path:
    """Return a folder with the export; the caller removes it."""
    library = services.library
    with _turn():
        # the next start removes what a killed server leaves here
        work = Path(tempfile.mkdtemp(prefix=epochs.EXPORT, dir=library.folder.checkpoints))
        try:
            proof = exported(ordered, work, is_unwanted)
            if proof is not None:
                library.put_report(model, export.report_kind(ordered.format), proof)
            card_of(library, services.catalog, model).write(work)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    return work


@contextmanager
def _turn() -> Iterator[None]:
    if not _one_at_a_time.acquire(blocking=False):
        raise ResourceExhausted("Another export is in progress. Try again when it is done.")
    try:
        yield
    finally:
        _one_at_a_time.release()


class _TarReply(StreamingResponse):
    """
    The files of a folder as a tar file; the folder is removed when everything has been sent, or the client has left.
    """

    def __init__(self, work: Path, name: str) -> None:
        entries = [_entry(path, work) for path in all_below(work) if path.is_file()]
        self._work = work
        super().__init__(_tar(entries), media_type="application/x-tar")
        size = sum(len(head) + length + -length % _BLOCK for _, head, length in entries) + len(_END)
        self.headers["content-length"] = str(size)
        self.headers["content-disposition"] = f'attachment; filename="{name}"'

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        try:
            await super().__call__(scope, receive, send)  # type: ignore[arg-type]
        finally:
            shutil.rmtree(self._work, ignore_errors=True)


_Entry = tuple[Path, bytes, int]  # a file, its header in the tar file, and its size


def _entry(path: Path, folder: Path) -> _Entry:
    entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
    entry.size, entry.mtime, entry.mode = path.stat().st_size, int(path.stat().st_mtime), 0o644
    return path, entry.tobuf(tarfile.GNU_FORMAT), entry.size


def _tar(entries: Iterable[_Entry]) -> Iterator[bytes]:
    for path, head, size in entries:
        yield head
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
        yield bytes(-size % _BLOCK)
    yield _END
