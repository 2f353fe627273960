"""
datasets:parse (extension): a user's file to columns, examples and all its problems; nothing is stored.

The file comes as a form (`file`) or as the body itself (`fileName` in the query); options in the form or the query. It
is counted while it comes in and read in a child process with limits, so that no file can hurt the server.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from fastapi import APIRouter, Request
from pydantic.alias_generators import to_camel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from tunery.data.dataset import ReadOptions
from tunery.data.sandbox import preview_guarded, read_guarded
from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument, Level, ResourceExhausted
from tunery.server.http import JsonReply, described, read_limited
from tunery.server.security import CallerOf
from tunery.server.wire.tuning import ParsedDatasetOut, parsed_out, refused_out
from tunery.service.access import Action, require_scope
from tunery.types import MAX_DATASET_BYTES

router = APIRouter(tags=["datasets (extension)"])

MAX_FORM_BYTES = 64 * 1024  # what a form has besides the file
MAX_NAME_CHARACTERS = 200
MAX_READERS = 2  # each may take 512 MB and 10 s of a processor
MAX_WAIT_SECONDS = 30.0

_TEXTS = ("sheet", "encoding", "delimiter", "output_column")
_LISTS = ("input_column", "skip_rows")
_NAMES = ("file_name", *_TEXTS, *_LISTS, "header")
_readers = threading.BoundedSemaphore(MAX_READERS)

Given = dict[str, list[str]]

_DESCRIBED = described(ParsedDatasetOut, query=_NAMES)
_DESCRIBED["openapi_extra"]["requestBody"] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}}
                | {to_camel(name): {"type": "string"} for name in _NAMES},
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}


@router.post("/datasets:parse", name="ParseDataset", **_DESCRIBED)
async def parse(request: Request, caller: CallerOf) -> Response:
    """Read a file as tuning would; what is wrong with it stands in the reply, all of it at once."""
    require_scope(caller, Action.CREATE)
    given: Given = {name: _query(request, name) for name in _NAMES}
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        content, name = await _form(request, given)
    else:
        content, name = await read_limited(request), ""
    name = PurePath((given["file_name"] or [name])[0].replace("\\", "/")).name[:MAX_NAME_CHARACTERS] or "data"
    out = await run_in_threadpool(_parsed, content, name, _options(given))
    return JsonReply(out.json_object())


def _query(request: Request, name: str) -> list[str]:
    return request.query_params.getlist(to_camel(name)) or request.query_params.getlist(name)


async def _form(request: Request, given: Given) -> tuple[bytes, str]:
    """Return content and name of the file of a form, and add its fields to what was given."""
    body = await read_limited(request, MAX_DATASET_BYTES + MAX_FORM_BYTES)

    async def stream() -> AsyncGenerator[bytes]:
        yield body

    try:
        form = await MultiPartParser(request.headers, stream(), max_files=1, max_fields=1000).parse()
    except (MultiPartException, KeyError) as error:
        raise InvalidArgument(f"The form cannot be read: {error}.") from None
    try:
        for name in _NAMES:
            fields = form.getlist(to_camel(name)) or form.getlist(name)
            given[name] = [field for field in fields if isinstance(field, str)] or given[name]
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidArgument("The form has no file; send it as the field 'file'.")
        return await file.read(), file.filename or ""
    finally:
        await form.close()


def _options(given: Given) -> ReadOptions:
    options: ReadOptions = {}
    for name in _TEXTS:
        if given[name] and given[name][0]:
            options[name] = given[name][0]  # type: ignore[literal-required]
    if given["input_column"]:
        options["input_column"] = given["input_column"]
    if given["header"] and given["header"][0]:
        if given["header"][0] not in ("true", "false"):
            raise InvalidArgument(f"header must be true or false, not {given['header'][0]!r}.")
        options["header"] = given["header"][0] == "true"
    numbers = [number for text in given["skip_rows"] for number in text.split(",") if number.strip()]
    if not all(number.strip().isdecimal() for number in numbers):
        raise InvalidArgument("skipRows must be numbers of rows, as 3,17.")
    if numbers:
        options["skip_rows"] = [int(number) for number in numbers]
    return options


def _parsed(content: bytes, name: str, options: ReadOptions) -> ParsedDatasetOut:
    with _reader(), tempfile.TemporaryDirectory(prefix="tunery-") as folder:
        path = Path(folder) / "data"
        path.write_bytes(content)
        asked: Any = {**options, "name": name}
        try:
            preview = preview_guarded(path, **asked)
        except DatasetInvalid as error:
            return refused_out(name, error.problems)
        problems: tuple[DataProblem, ...] = preview.problems
        dataset = None
        if not any(problem.level is Level.ERROR for problem in problems):
            try:
                dataset = read_guarded(path, **asked)
            except DatasetInvalid as error:  # it took longer than the preview, or more memory
                problems = error.problems
        return parsed_out(preview, dataset, problems)


@contextmanager
def _reader() -> Iterator[None]:
    if not _readers.acquire(timeout=MAX_WAIT_SECONDS):
        raise ResourceExhausted("Other files are being read. Try again in a moment.")
    try:
        yield
    finally:
        _readers.release()
