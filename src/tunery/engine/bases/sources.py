"""
What a source of weights says about itself before anything is loaded: window, size, licence, and whether it is safe.

A source is a folder with safetensors, a GGUF file or `owner/name[@revision]` on the Hugging Face hub. Pickled weights
and code are refused: reading them would run what others wrote. It reads headers and small JSON files, without torch.
"""

from __future__ import annotations

import json
import re
import struct
import tempfile
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Any

from tunery.engine.bases.gguf_file import GgufFile
from tunery.engine.bases.records import Record, file_facts
from tunery.errors import InvalidArgument, NotFound

HUB_ID = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
WEIGHT_FILE = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
CONFIG_FILES = ("config.json", "tokenizer_config.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
MODEL_FILES = (  # further files that decide what the model computes
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
    Return the record of a source, its name derived from it; hashes the files that will be used in place.

    Raises NotFound, InvalidArgument (with the reason for a refusal) or, for the hub, Unavailable.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return inspect_folder(path.resolve())
    if path.is_file() and path.suffix == ".gguf":
        return inspect_gguf(path.resolve())
    if path.is_file():
        raise InvalidArgument(f"{path} is no GGUF file. Give a folder with safetensors, a .gguf file or a hub id.")
    match = HUB_ID.fullmatch(source)
    if match is None or path.suffix == ".gguf":
        raise NotFound(f"There is no {source}. Give a folder, a .gguf file or a hub id such as owner/name.")
    return inspect_hub(match["repository"], match["revision"])


def inspect_folder(folder: Path) -> Record:
    """Return the record of a folder in the layout of transformers, used where it is."""
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
    """Return weight files and config of a folder; raises InvalidArgument when it does not hold a safe base."""
    weights = check_files([path.name for path in folder.iterdir() if path.is_file()], str(folder))
    return weights, _read_config(folder)


def inspect_gguf(path: Path) -> Record:
    """Return the record of a GGUF file, to be converted into the data folder."""
    file = GgufFile(path)
    file.require_complete()
    window = file.metadata.get(f"{file.architecture}.context_length")
    if not window:
        raise InvalidArgument(f"{path} does not state its context length; it is no language model.")
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
    """Return the record of a model on the hub, pinned to the commit of `revision` now; fetches small files only."""
    from tunery.engine.bases.hub import fetch_from_hub, list_hub

    listing = list_hub(repository, revision)
    weights = check_files(list(listing.files), repository)
    small = [name for name in (*CONFIG_FILES, "README.md") if name in listing.files]
    with tempfile.TemporaryDirectory() as folder:
        fetch_from_hub(repository, listing.commit, small, Path(folder))
        config, licence = _read_config(Path(folder)), _licence(Path(folder))
    number_bytes = 4 if "float32" in str(config.get("dtype", config.get("torch_dtype"))) else 2
    return Record(
        name=derive_name(repository.partition("/")[2]),
        display_name=repository,
        source=f"hub:{repository}@{listing.commit}",
        licence=licence,
        input_token_limit=_window_tokens(config),
        parameters=sum(listing.files[name] for name in weights) // number_bytes,
    )


def check_files(names: Collection[str], where: str) -> list[str]:
    """Return the weight files among `names`; raises InvalidArgument when these are not the files of a safe base."""
    weights = sorted(name for name in names if WEIGHT_FILE.fullmatch(name))
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if not weights and pickles:
        raise InvalidArgument(
            f"{where} has its weights only as {pickles[0]}: such a file is a pickle, and loading it runs code in it."
            " Use a version with .safetensors, or convert it where you trust it."
        )
    if not weights:
        raise InvalidArgument(f"{where} has no model.safetensors.")
    if "config.json" not in names:
        raise InvalidArgument(f"{where} has no config.json.")
    if not any(name in names for name in TOKENIZER_FILES):
        raise InvalidArgument(f"{where} has no tokenizer: one of {', '.join(TOKENIZER_FILES)} is needed.")
    return weights


def wanted_files(names: Collection[str]) -> list[str]:
    """Return those files of a hub repository that a base consists of."""
    small = {*CONFIG_FILES, *TOKENIZER_FILES, *MODEL_FILES, *PAPERS}
    return sorted(name for name in names if WEIGHT_FILE.fullmatch(name) or name in small)


def derive_name(text: str) -> str:
    """Return a name of a base made from a file name, folder name or hub id."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:63].rstrip("-.") or "base"


def _read_config(folder: Path) -> dict[str, Any]:
    """Return config.json; raises InvalidArgument when it or the tokenizer names code to be run."""
    for name in CONFIG_FILES:
        if (folder / name).is_file() and "auto_map" in _read_json(folder / name):
            raise InvalidArgument(
                f"{name} names code of its own (auto_map), which would have to be run. tunery runs no code from models;"
                " use a version that transformers knows."
            )
    return _read_json(folder / "config.json")


def _window_tokens(config: dict[str, Any]) -> int:
    texts: dict[str, Any] = config.get("text_config") or config
    for key in WINDOW_KEYS:
        if isinstance(texts.get(key), int):
            return int(texts[key])
    raise InvalidArgument("config.json does not state the window: add max_position_embeddings, in tokens.")


def _licence(folder: Path) -> str:
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    stated = header and re.search(r"^license:\s*['\"]?([\w.+-]+)", header[1], re.MULTILINE)
    if stated:
        return stated[1]
    return "see LICENSE in its folder" if any(folder.glob("LICENSE*")) else NOT_STATED


def _count_parameters(path: Path) -> int:
    """Return the numbers in a safetensors file from its header: 8 bytes with the length of the JSON that follows."""
    with path.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        except (struct.error, ValueError) as error:
            raise InvalidArgument(f"{path} is not a complete safetensors file. Fetch it again.") from error
    return sum(prod(facts["shape"]) for name, facts in header.items() if name != "__metadata__")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgument(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgument(f"{path} holds no JSON object.")
    return value
