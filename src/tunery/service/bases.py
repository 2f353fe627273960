"""
The bases that can be had: what a list shows of each, downloads that are started and stopped, and what depends on one.

A download is a thread of the server. What has arrived stays on disk, so a stop, a fault and a restart lose nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tunery.engine.catalog import Catalog
from tunery.engine.memory import Need, needs
from tunery.engine.offered import OfferedBase, offered_as, offered_bases
from tunery.engine.pull import get
from tunery.errors import Cancelled, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, as_tunery_error
from tunery.files import Progress
from tunery.service.database import models
from tunery.service.library import Library
from tunery.types import DEFAULT_BASE_MODEL, CatalogEntry

MAX_RUNNING = 3
_PATIENCE_SECONDS = 5.0  # that the end of a server waits for its downloads

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListedBase:
    """
    A base that is here or can be fetched; None where nobody could read the fact.

    `tuning` and `answering` are the memory it takes. `place` is its repository on the hub, or where it was added from.
    """

    name: str
    display_name: str
    place: str
    licence: str
    context: int  # tokens
    parameters: int | None
    is_present: bool
    is_offered: bool  # in the list that tunery comes with
    is_gated: bool
    languages: str | None = None
    good_at: str | None = None
    tuning: Need | None = None
    answering: Need | None = None
    arrived_bytes: int = 0
    total_bytes: int | None = None


def listed_bases(catalog: Catalog) -> list[ListedBase]:
    """Return the bases that are here, the default first, then the others in the order of the list."""
    known = [_known(catalog, entry) for entry in catalog.entries() if not entry.alias_of]
    names, order = {base.name for base in known}, list(offered_bases())
    missing = [base for base in known if not base.is_present]
    missing += [_offered(offer) for offer in offered_bases().values() if offer.name not in names]
    # one that is on its way keeps its place, so that nothing moves below a finger
    missing.sort(key=lambda base: order.index(base.name) if base.name in order else -1)
    return [base for base in known if base.is_present] + missing


def listed_base(catalog: Catalog, name: str) -> ListedBase:
    """Return one of `listed_bases`; raises NotFound."""
    for base in listed_bases(catalog):
        if base.name == name:
            return base
    raise NotFound(f"There is no base {name!r}. `tunery bases list --all` shows all; others are added by OWNER/NAME.")


def _known(catalog: Catalog, entry: CatalogEntry) -> ListedBase:
    _, _, place = entry.source.partition(":")
    repository = place.partition("@")[0]
    offer = offered_as(repository)
    record = catalog.record(entry.name)
    stated = sum(file.size for file in record.hub_files.values()) if record else 0
    tuning, answering = needs_of(entry) or (None, None)
    return ListedBase(
        name=entry.name,
        display_name=offer.display_name if offer else entry.display_name,
        place=repository,
        licence=offer.licence if offer else entry.licence,
        context=entry.input_token_limit,
        parameters=entry.parameters,
        is_present=entry.is_present,
        is_offered=offer is not None,
        is_gated=offer is not None and offer.gated,
        languages=offer.languages if offer else None,
        good_at=offer.good_at if offer else None,
        tuning=tuning,
        answering=answering,
        arrived_bytes=catalog.arrived_bytes(entry.name),
        total_bytes=stated or None,
    )


def needs_of(entry: CatalogEntry) -> tuple[Need, Need] | None:
    """Return what tuning a base takes, and what answering takes; None if its size is not known. See `memory.needs`."""
    offer = offered_as(entry.source.partition(":")[2].partition("@")[0])
    is_ours = (entry.alias_of or entry.name) == DEFAULT_BASE_MODEL or (offer is not None and offer.family is not None)
    return needs(entry.parameters, is_flexible=is_ours) if entry.parameters else None


def _offered(offer: OfferedBase) -> ListedBase:
    tuning, answering = needs(offer.parameters, is_flexible=offer.family is not None)  # all known ones are our own
    return ListedBase(
        name=offer.name,
        display_name=offer.display_name,
        place=offer.repository,
        licence=offer.licence,
        context=offer.context,
        parameters=offer.parameters,
        is_present=False,
        is_offered=True,
        is_gated=offer.gated,
        languages=offer.languages,
        good_at=offer.good_at,
        tuning=tuning,
        answering=answering,
    )


def add(catalog: Catalog, source: str, name: str | None = None) -> CatalogEntry:
    """
    Add a base from the hub by OWNER/NAME, or from a folder or a .gguf file by its absolute path on this machine.

    Raises InvalidArgument for a path that cannot be read or is in the data folder, and the errors of `Catalog.add`.
    """
    try:
        path = Path(source)
        if not path.is_absolute():
            return catalog.add_from_hub(source, name)
        real, own = path.resolve(), catalog.bases.parent.resolve()
        if own in (real, *real.parents):  # it holds accounts and other users' data
            raise InvalidArgument(f"{source} is in the data folder of this server. Add a copy from elsewhere.")
        return catalog.add(str(real), name)
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a null byte
        raise InvalidArgument(f"{source!r} cannot be read on this server: {error}.") from error


@dataclass(frozen=True, slots=True)
class Dependent:
    """A tuned model that needs a base to answer."""

    id: str
    display_name: str
    has_ended: bool  # its task


def dependents(library: Library) -> dict[str, list[Dependent]]:
    """Return the tuned models by the name of their base."""
    found: dict[str, list[Dependent]] = {}
    with library.database.reading() as connection:
        for base, model_id, title, has_ended in models.list_on_bases(connection):
            found.setdefault(base, []).append(Dependent(model_id, title, has_ended))
    return found


def remove(catalog: Catalog, library: Library, name: str, *, is_forced: bool) -> int:
    """
    Remove a base and return the bytes that were freed.

    If tuned models depend on it, FailedPrecondition names them, unless `is_forced`: then its revision stays recorded,
    so that they answer again once it has been fetched again. Raises FailedPrecondition while it is being tuned.
    """
    entry = catalog.resolve(name)
    needing = dependents(library).get(entry.name, [])
    if working := [model for model in needing if not model.has_ended]:
        raise FailedPrecondition(f"{entry.name} is being tuned: {_names(working)}. Wait for it, or cancel it first.")
    if needing and not is_forced:
        raise FailedPrecondition(f"{entry.name} is the base of {_names(needing)}, which cannot answer without it.")
    return catalog.remove(entry.name, keep_record=bool(needing))


def _names(needing: Sequence[Dependent]) -> str:
    shown = ", ".join(model.display_name or model.id for model in needing[:3])
    return shown + (f" and {len(needing) - 3} more" if len(needing) > 3 else "")


class DownloadState(StrEnum):
    """What a download is doing."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"  # part of it has arrived
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Download:
    """How far a base has come; `error` is why it failed."""

    state: DownloadState
    stage: str
    done_bytes: int
    total_bytes: int | None
    error: str | None = None


class Downloads:
    """The downloads of a server; those that are neither running nor failed are read from the disk."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._fetching: dict[str, _Fetching] = {}

    def start(self, name: str) -> None:
        """Fetch a base of `listed_bases`, or go on; does nothing if it is here or coming. Raises NotFound."""
        if listed_base(self._catalog, name).is_present:
            return
        with self._lock:
            running = [fetching for fetching in self._fetching.values() if fetching.is_running]
            if any(fetching.name == name for fetching in running):
                return
            if len(running) >= MAX_RUNNING:
                raise ResourceExhausted(f"{MAX_RUNNING} bases are being fetched. Wait for one, or stop one.")
            self._fetching[name] = _Fetching(name, self._catalog)
            self._fetching[name].start()

    def stop(self, name: str) -> None:
        """Stop fetching a base; what has arrived is kept."""
        with self._lock:
            if fetching := self._fetching.pop(name, None):
                fetching.stop()

    def of(self, base: ListedBase) -> Download | None:
        """Return the download of a base; None if there is nothing to tell."""
        if base.is_present:
            return None
        fetching = self._fetching.get(base.name)
        if fetching is not None and (fetching.is_running or fetching.error):
            return fetching.seen
        if not base.arrived_bytes:
            return None
        return Download(DownloadState.STOPPED, "download", base.arrived_bytes, base.total_bytes)

    def remove(self, library: Library, name: str, *, is_forced: bool) -> int:
        """Remove a base, see `remove`; raises FailedPrecondition while it is being fetched."""
        with self._lock:
            fetching = self._fetching.get(name)
            if fetching is not None and fetching.is_running:
                raise FailedPrecondition(f"{name} is being fetched. Stop that first.")
            self._fetching.pop(name, None)
        return remove(self._catalog, library, name, is_forced=is_forced)

    def close(self) -> None:
        """Stop all downloads."""
        with self._lock:
            ending, self._fetching = list(self._fetching.values()), {}
        for fetching in ending:
            fetching.stop()
        for fetching in ending:
            fetching.join(_PATIENCE_SECONDS)


class _Fetching(threading.Thread):
    """One base on its way."""

    def __init__(self, name: str, catalog: Catalog) -> None:
        super().__init__(name=f"fetching {name}", daemon=True)
        self.name, self.error = name, ""
        self._catalog = catalog
        self._progress = Progress("ask", 0)
        self._should_stop = threading.Event()
        self._has_ended = False

    @property
    def is_running(self) -> bool:
        return not self._has_ended and not self._should_stop.is_set()

    @property
    def seen(self) -> Download:
        state = DownloadState.RUNNING if self.is_running else DownloadState.FAILED
        progress = self._progress
        return Download(state, progress.stage, progress.done, progress.total, self.error or None)

    def stop(self) -> None:
        self._should_stop.set()

    def run(self) -> None:
        try:
            get(self.name, self._catalog.bases.parent, self._catalog.default_base, self._note)
        except Cancelled:
            pass
        except Exception as error:  # noqa: BLE001 (shown to whoever started it)
            self.error = str(as_tunery_error(error))
            _log.warning("%s could not be fetched: %s", self.name, self.error)
        finally:
            self._has_ended = True

    def _note(self, progress: Progress) -> None:
        self._progress = progress
        if self._should_stop.is_set():
            raise Cancelled(f"Fetching {self.name} was stopped.")
