"""
Exports of tuned models (extension): a tar file, written by a child process and streamed from disk; and the model card.

One export at a time, because each loads a base into memory.
"""

from __future__ import annotations

import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from tunery import config
from tunery.errors import InvalidArgument, ResourceExhausted
from tunery.files import all_below
from tunery.server.http import ApiRouter, JsonReply, Services, ServicesOf
from tunery.server.security import CallerOf, holds
from tunery.server.shares import Places, in_own_thread
from tunery.service import export
from tunery.service import folder as epochs
from tunery.service.access import Action
from tunery.service.export import card_of, exported
from tunery.types import Caller

router = ApiRouter(tags=["tunedModels (extension)"])

PIECE_BYTES = 1 << 20
EXPORTS = Places("exports are being made or sent", size=4, line=0)  # each takes the size of a base on the disk
CARD_FORMATS = ("json", "markdown")
_BLOCK = 512  # of tar

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
    services: ServicesOf, caller: CallerOf, model_id: str, format: str | None = None, prove: str | None = None
) -> Response:
    """Export a tuned model: `format` adapter, merged or gguf; `prove=true` compares it with the served model first."""
    return await in_own_thread(partial(_exported, services, caller, model_id, format, prove))


def _exported(services: Services, caller: Caller, model_id: str, format: str | None, prove: str | None) -> Response:
    plain_id, epoch = epochs.split_epoch(model_id)
    services.library.sharing.require(caller, Action.READ, plain_id)
    export_format = format or "adapter"
    if export_format not in export.FORMATS:
        raise InvalidArgument(f"format must be one of {', '.join(export.FORMATS)}, not {export_format!r}.")
    proves = {"true": True, "auto": None}.get(prove or "", False)
    work = _made(services, plain_id, export_format, epoch, proves)
    return _TarReply(work, f"{model_id}-{export_format}.tar")


@router.get("/tunedModels/{model_id:id}:card", name="GetModelCard")
def get_card(services: ServicesOf, caller: CallerOf, model_id: str, format: str | None = None) -> Response:
    """Return the card of a tuned model, as JSON or with `format=markdown` as Markdown."""
    services.library.sharing.require(caller, Action.READ, model_id)
    card_format = format or "json"
    if card_format not in CARD_FORMATS:
        raise InvalidArgument(f"format must be one of {', '.join(CARD_FORMATS)}, not {card_format!r}.")
    card = card_of(services.library, services.catalog, services.library.find(model_id))
    return JsonReply(card.document()) if card_format == "json" else PlainTextResponse(card.markdown())


def _made(
    services: Services, model_id: str, export_format: str, epoch: int | None, proves: bool | None
) -> tempfile.TemporaryDirectory[str]:
    """Return a folder with the export; the caller removes it."""
    library = services.library
    model = library.find(model_id)
    ordered = export.order(
        library, services.catalog, model, export_format, epoch=epoch, proves=proves, python=config.proof_python()
    )
    with _turn():
        # the next start removes what a killed server leaves here
        work = tempfile.TemporaryDirectory(prefix="export-", dir=library.folder.checkpoints)
        try:
            proof = exported(ordered, Path(work.name))
            if proof is not None:
                library.put_report(model, export.report_kind(export_format), proof)
            card_of(library, services.catalog, model).write(Path(work.name))
        except BaseException:
            work.cleanup()
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
    """The files of a folder as a tar file; the folder goes when everything was sent, or the client has left."""

    def __init__(self, work: tempfile.TemporaryDirectory[str], name: str) -> None:
        folder = Path(work.name)
        self._work = work
        super().__init__(_tar(folder), media_type="application/x-tar")
        self.headers["content-disposition"] = f'attachment; filename="{name}"'

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        try:
            await super().__call__(scope, receive, send)  # type: ignore[arg-type]
        finally:
            self._work.cleanup()


def _tar(folder: Path) -> Iterator[bytes]:
    for path in (path for path in all_below(folder) if path.is_file()):
        entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
        entry.size, entry.mtime, entry.mode = path.stat().st_size, int(path.stat().st_mtime), 0o644
        yield entry.tobuf(tarfile.GNU_FORMAT)
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
        yield bytes(-entry.size % _BLOCK)
    yield bytes(2 * _BLOCK)  # the end of a tar file
