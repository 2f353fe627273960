"""
Fuzzers for what strangers write: files, ids, masks, page tokens and filters (B-5). Needs atheris.

    python -m tests.chaos.fuzz --target csv --seconds 600    # without --target: all, one after the other

A file may be refused with InvalidArgument, a request with a status below 500. Anything else ends the run; its input
is kept in the folder that the last line names.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import atheris

with atheris.instrument_imports(include=["tunery.data", "tunery.server", "tunery.service"]):
    from tests.server.api import OWNER, called, serving_api, write_base
    from tunery.data.dataset import Dataset, preview
    from tunery.errors import InvalidArgument

from tests.data.bad_files import bad_files
from tests.data.made_workbooks import with_members

CORPUS = Path(__file__).parents[1] / "data/corpus/files"
WORKBOOK = CORPUS / "lo-answers.xlsx"
PARTS = ("xl/worksheets/sheet1.xml", "xl/styles.xml", "xl/workbook.xml", "xl/sharedStrings.xml", None)  # None: the file
MAX_BYTES = 20_000
MAX_RUN_SECONDS = 20  # libFuzzer reports an input that takes longer

Target = Callable[[bytes], None]


def reading(folder: Path, *names: str) -> Target:
    """Return a target that reads its input as a file; the last byte chooses the file's name and the options."""
    ways = [{}, {"encoding": "utf-8"}, {"delimiter": ";"}, {"header": False}, {"header": True}, {"header_row": 2}]

    def read(data: bytes) -> None:
        choice = data[-1] if data else 0
        options, name = ways[choice % len(ways)], names[choice // len(ways) % len(names)]
        path = folder / name
        path.write_bytes(data[:-1])
        for reader in (preview, Dataset.read):
            with suppress(InvalidArgument):  # DatasetInvalid is one
                reader(path, **options)  # type: ignore[operator]

    return read


def reading_workbooks(folder: Path) -> Target:
    """Return a target that reads a workbook: the input as it is, or as one of the XML parts of a workbook."""
    book, read = WORKBOOK.read_bytes(), reading(folder, "file.xlsx")

    def read_workbook(data: bytes) -> None:
        choice = data[-1] if data else 0
        member = PARTS[choice % len(PARTS)]
        content = data[:-1] if member is None else with_members(book, {member: data[:-1]})
        read(content + bytes([choice // len(PARTS)]))

    return read_workbook


def calling(folder: Path, *calls: tuple[str, str, bytes]) -> Target:
    """Return a target that puts its input where `{}` is in the path or the body of these calls, each in turn."""
    write_base(folder / "base")
    context = serving_api(folder / "home", folder / "base")
    api = context.__enter__()  # until the process ends
    api.active("numbers")
    loop = asyncio.new_event_loop()
    headers = {"authorization": api.web.headers["authorization"], "content-type": "application/json"}
    _keep.append((context, api))

    def call(data: bytes) -> None:
        method, path, body = calls[(data[-1] if data else 0) % len(calls)]
        path = path.replace("{}", quote(data[:-1].decode("utf-8", "replace"), safe=""))
        text = data[:-1].decode("utf-8", "replace").replace("\\", "\\\\").replace('"', '\\"')
        reply = loop.run_until_complete(called(api.app, method, path, headers, body.replace(b"{}", text.encode())))
        assert 200 <= reply.status < 500, (method, path, reply)

    return call


_keep: list[object] = []
_MODEL = "/v1beta/tunedModels/numbers"
TARGETS: dict[str, Callable[[Path], Target]] = {
    "csv": lambda folder: reading(folder, "file.csv", "file.tsv", "file.txt"),
    "xlsx": reading_workbooks,
    "jsonl": lambda folder: reading(folder, "file.jsonl", "file.json"),
    "ids": lambda folder: calling(
        folder,
        ("GET", "/v1beta/tunedModels/{}", b""),
        ("GET", "/v1beta/models/{}", b""),
        ("GET", f"{_MODEL}/operations/{{}}", b""),
        ("GET", f"{_MODEL}/permissions/{{}}", b""),
        ("GET", "/v1beta/prompts/{}", b""),
        ("GET", "/v1beta/openai/models/{}", b""),
        ("GET", "/v1beta/tunedModels/{}:card", b""),
        ("POST", "/v1beta/tunedModels?tunedModelId={}", b'{"baseModel": "models/tiny", "tuningTask": {}}'),
        ("POST", f"{_MODEL}:transferOwnership", b'{"emailAddress": "{}"}'),
    ),
    "masks": lambda folder: calling(
        folder,
        ("PATCH", f"{_MODEL}?updateMask={{}}", b'{"displayName": "numbers", "topP": 0.5}'),
        ("PATCH", f"{_MODEL}/permissions/nobody?updateMask={{}}", b'{"role": "READER"}'),
        ("PATCH", "/v1beta/prompts/none?updateMask={}", b'{"displayName": "numbers"}'),
    ),
    "tokens": lambda folder: calling(
        folder,
        ("GET", "/v1beta/tunedModels?pageToken={}", b""),
        ("GET", "/v1beta/models?pageToken={}", b""),
        ("GET", f"{_MODEL}/operations?pageToken={{}}", b""),
        ("GET", f"{_MODEL}/permissions?pageToken={{}}", b""),
        ("GET", f"{_MODEL}/examples?pageToken={{}}", b""),
        ("GET", "/v1beta/prompts?pageToken={}", b""),
        ("GET", "/v1beta/tunedModels?pageSize={}", b""),
    ),
    "filters": lambda folder: calling(
        folder,
        ("GET", "/v1beta/tunedModels?filter={}", b""),
        ("GET", f"{_MODEL}/operations?filter={{}}", b""),
        ("GET", "/v1beta/prompts?filter={}", b""),
    ),
}
_WORDS = [
    "numbers", "tiny", OWNER, "local@this.machine", "displayName,topP", "*", "temperature,top_k", "owner:me",
    "readers:everyone words", "writers:me", "display_name", "AAAAAAAAAAB_________", "-", "%2e%2e%2f", "../..", "1000",
]  # fmt: skip


def seeds(target: str) -> list[bytes]:
    """Return inputs to begin with."""
    if target == "xlsx":
        with zipfile.ZipFile(WORKBOOK) as book:
            parts = [WORKBOOK.read_bytes() if part is None else book.read(part) for part in PARTS]
        return [part + bytes([number]) for number, part in enumerate(parts)]
    if target in ("csv", "jsonl"):
        suffixes = {"csv": (".csv", ".tsv", ".txt", ".html", ".xml", ".md"), "jsonl": (".json", ".jsonl")}[target]
        files = [path.read_bytes() for path in sorted(CORPUS.iterdir()) if path.suffix in suffixes]
        files += [bad.content for bad in bad_files() if bad.name.endswith(suffixes)]
        return [content + b"\0" for content in files if len(content) < MAX_BYTES]
    return [word.encode() + bytes([choice]) for word in _WORDS for choice in range(9)]


def fuzz(target: str, seconds: int, folder: Path) -> None:
    """Fuzz one target; ends the process."""
    logging.disable(logging.CRITICAL)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / str(number)).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={MAX_RUN_SECONDS}",
        "-runs=5000000",
        "-len_control=0",
    ]
    kept = [f"-artifact_prefix={folder}/found-", "-print_final_stats=1", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *options, *kept, str(corpus)], TARGETS[target](folder))
    atheris.Fuzz()


def main() -> None:
    """Fuzz in a process of its own each; exit with 1 if any found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    given = parser.parse_args()
    failed = []
    for target in given.target or TARGETS:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{target}-"))
        child = os.fork()
        if child == 0:
            fuzz(target, given.seconds, folder)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stderr.write(f"{target}: {'nothing found' if status == 0 else f'FOUND, see {folder}'}\n")
        failed += [target] if status else []
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
