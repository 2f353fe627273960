"""
datasets:parse (extension): a user's file turned into columns, examples and a list of all its problems.

The file is the field `file` of a form, or the body itself with `fileName` in the query; options go into either. Nothing
is stored. The size is checked while the file arrives, and it is parsed in a sandboxed child process.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import PurePath
from typing import Any

from fastapi import Request
from pydantic.alias_generators import to_camel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from tunery.data.dataset import SAMPLE_ROWS, ReadOptions
from tunery.data.sandbox import preview_guarded, read_guarded
from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument, Level
from tunery.files import temporary_folder
from tunery.old_models import recorded_in
from tunery.server.http import ApiRouter, body_read
from tunery.server.security import CallerOf, needs
from tunery.server.shares import Places
from tunery.server.wire.datasets import ParsedDatasetOut, parsed_out, refused_out
from tunery.service.access import Action
from tunery.types import MAX_DATASET_BYTES

router = ApiRouter(tags=["datasets (extension)"])

MAX_FORM_BYTES = 64 * 1024  # fields of a form in addition to the file
MAX_NAME_CHARACTERS = 200
READERS = Places("files are being read", size=2, line=8)  # each may take 512 MB and 10 s of CPU time

_TEXTS = ("sheet", "encoding", "delimiter", "output_column")
_LISTS = ("input_column", "skip_rows")
_NAMES = ("file_name", *_TEXTS, *_LISTS, "header", "header_row", "hidden_rows", "sample_rows")
_MAX_ROW_DIGITS = 9

Given = dict[str, list[str]]

# Options may come in the query or in the form, and some more than once, so the handler reads them itself.
_PARAMETERS = [
    {"name": to_camel(name), "in": "query", "required": False, "schema": {"type": "string"}} for name in _NAMES
]
_BODY = {
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


@router.post(
    "/datasets:parse",
    name="ParseDataset",
    openapi_extra={"parameters": _PARAMETERS, "requestBody": _BODY},
    dependencies=[needs(Action.CREATE)],
)
async def parse(request: Request, caller: CallerOf) -> ParsedDatasetOut:
    """Read a file as tuning would; the reply lists all its problems."""
    given: Given = {name: request.query_params.getlist(to_camel(name)) for name in _NAMES}
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    async with body_read(request, MAX_DATASET_BYTES + (MAX_FORM_BYTES if is_form else 0)) as body:
        content, name = await _form(request, body, given) if is_form else (body, "")
        name = PurePath((given["file_name"] or [name])[0].replace("\\", "/")).name[:MAX_NAME_CHARACTERS] or "data"
        rows = given["sample_rows"] and _row_number("sampleRows", given["sample_rows"][0])
        read = partial(_parsed, content, name, _options(given), rows or SAMPLE_ROWS)
        return await READERS.run(caller.name, read)


async def _form(request: Request, body: bytes, given: Given) -> tuple[bytes, str]:
    """Return content and name of the file in a form, and add its other fields to `given`."""

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
    for name in ("header", "hidden_rows"):
        if given[name] and given[name][0]:
            options[name] = _boolean(to_camel(name), given[name][0])  # type: ignore[literal-required]
    if given["header_row"] and given["header_row"][0]:
        options["header_row"] = _row_number("headerRow", given["header_row"][0])
    numbers = [number for text in given["skip_rows"] for number in text.split(",") if number.strip()]
    if numbers:
        options["skip_rows"] = [_row_number("skipRows", number) for number in numbers]
    return options


def _boolean(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidArgument(f"{name} must be true or false, not {text[:40]!r}.")
    return text == "true"


def _row_number(name: str, text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_ROW_DIGITS):
        raise InvalidArgument(f"{name} must be a row number, such as 3, not {text[:40]!r}.")
    return int(digits)


def _parsed(content: bytes, name: str, options: ReadOptions, sample_rows: int) -> ParsedDatasetOut:
    with temporary_folder() as folder:
        path = folder / "data"
        path.write_bytes(content)
        arguments: Any = {**options, "name": name}
        try:
            preview = preview_guarded(path, sample_rows, **arguments)
        except DatasetInvalid as error:
            return refused_out(name, error.problems)
        problems: tuple[DataProblem, ...] = preview.problems
        dataset = None
        if not any(problem.level is Level.ERROR for problem in problems):
            try:
                dataset = read_guarded(path, **arguments)
            except DatasetInvalid as error:  # it ran out of time or memory, although the preview did not
                problems = error.problems
        recorded = recorded_in(content, dataset.examples) if dataset is not None and preview.format == "jsonl" else None
        return parsed_out(preview, dataset, problems, recorded)
