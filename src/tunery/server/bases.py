"""
Bases (extension): which ones there are, what fits this machine, downloads from the hub, and removal.

Everybody who may list models may list bases; only administrators fetch, add, search and remove, because these reach
the hub and the disk. Where a base was added from and how many tuned models need it is told to administrators only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from tunery.engine.fetch import search_hub
from tunery.engine.memory import Need
from tunery.errors import InvalidArgument
from tunery.server.http import ApiRouter, Flag, Services, ServicesOf
from tunery.server.security import Administrator, CallerOf
from tunery.server.shares import Places
from tunery.server.wire.messages import Message, StrictIncoming
from tunery.service.access import require_known
from tunery.service.bases import Dependent, Download, ListedBase, add, dependents, listed_base, listed_bases
from tunery.service.creation import Speed, speeds
from tunery.types import Caller, WeightFormat

list_router = ApiRouter(tags=["bases (extension)"])
router = ApiRouter(tags=["bases, for administrators (extension)"])

HUB = Places("questions to the hub are waiting", size=2, line=8)


class BaseIn(StrictIncoming):
    """
    A base to add: `source` is OWNER/NAME on the hub, with @REVISION if it is not to be the newest, or the absolute path
    of a folder with safetensors or of a GGUF file on the server.
    """

    source: str = ""
    name: str | None = Field(default=None, description="Its name; by default derived from the source.")


class MemoryOut(Message):
    """The memory that something takes; `fit` is yes, tight (if other programs end) or no."""

    memory_bytes: int
    fit: str | None
    weights: Annotated[
        str | None, Field(description="The format of weights that this takes: 8bit or 4bit, if not full.")
    ]


class SpeedOut(Message):
    """The speed to expect of tuning on this machine."""

    tokens_per_second: float
    source: Annotated[str, Field(description="measured with this base, scaled from another one, or guess.")]
    scaled_from: str | None


class DownloadOut(Message):
    """How far a base has come."""

    state: Annotated[str, Field(description="RUNNING, STOPPED (to be gone on with) or FAILED.")]
    stage: Annotated[str, Field(description="ask, download, unpack, convert or check.")]
    done_bytes: int
    total_bytes: int | None
    error: Annotated[str | None, Field(description="Why it failed, and what to do.")]


class DependentOut(Message):
    """A tuned model that needs a base to answer."""

    name: str
    display_name: str


class BaseOut(Message):
    """A base that is on this machine or can be fetched; fields that nobody could read are left out."""

    name: str
    display_name: str
    place: Annotated[str | None, Field(description="Its repository, or where it was added from.")]
    licence: str
    languages: str | None
    good_at: str | None
    input_token_limit: int
    parameters: int | None
    is_present: Annotated[bool, Field(description="Whether the weights are on this machine.")]
    is_offered: Annotated[bool, Field(description="Whether it is in the list that tunery comes with.")]
    is_gated: Annotated[bool, Field(description="Whether its terms have to be accepted on the hub first.")]
    is_default: Annotated[bool, Field(description="Whether API names of old code stand for it.")]
    download_bytes: Annotated[int | None, Field(description="Bytes of its files, known once the hub was asked.")]
    tuning: MemoryOut | None
    answering: MemoryOut | None
    speed: SpeedOut | None
    download: DownloadOut | None
    dependents: Annotated[list[DependentOut] | None, Field(description="For administrators.")]


class BasesPage(Message):
    """All bases."""

    bases: list[BaseOut]


class HubModelOut(Message):
    """A model that the hub found."""

    repository: str
    licence: str | None
    downloads: int | None


class HubModelsOut(Message):
    """The models that the hub found, most fetched first."""

    models: list[HubModelOut]


class RemovedOut(Message):
    """What was freed."""

    bytes: int


@list_router.get("/bases", name="ListBases")
def list_bases(services: ServicesOf, caller: CallerOf) -> BasesPage:
    """List the bases that are here and those that can be fetched."""
    require_known(caller)
    return BasesPage(bases=_outs(services, caller, listed_bases(services.catalog)))


@list_router.get("/bases/{base_id:id}", name="GetBase")
def get_base(services: ServicesOf, caller: CallerOf, base_id: str) -> BaseOut:
    """Return a base."""
    require_known(caller)
    return _one(services, caller, base_id)


@router.get("/bases:search", name="SearchBases")
async def search_bases(caller: Administrator, query: str = "") -> HubModelsOut:
    """Search the hub for text models with safetensors."""
    if not query.strip():
        raise InvalidArgument("Say in query what to search for: part of the name of a model.")
    found = await HUB.run(caller.name, partial(search_hub, query.strip()))
    return HubModelsOut(
        models=[HubModelOut(repository=m.repository, licence=m.licence or None, downloads=m.downloads) for m in found]
    )


@router.post("/bases", name="AddBase")
async def add_base(services: ServicesOf, caller: Administrator, body: BaseIn) -> BaseOut:
    """
    Add a base: revision, sizes and digests on the hub are recorded, and no weights are fetched yet; the files of a
    folder on the server are used in place, and a GGUF file there is converted by `:fetch`.
    """
    source, name = body.source.strip(), (body.name or "").strip() or None
    entry = await HUB.run(caller.name, partial(add, services.catalog, source, name))
    return _one(services, caller, entry.name)


@router.post("/bases/{base_id:id}:fetch", name="FetchBase")
def fetch_base(services: ServicesOf, caller: Administrator, base_id: str) -> BaseOut:
    """Start fetching a base, or go on; the reply comes at once, and `download` tells how far it is."""
    services.downloads.start(base_id)
    return _one(services, caller, base_id)


@router.post("/bases/{base_id:id}:stop", name="StopBase")
def stop_base(services: ServicesOf, caller: Administrator, base_id: str) -> BaseOut:
    """Stop fetching a base; what has arrived is kept."""
    services.downloads.stop(base_id)
    return _one(services, caller, base_id)


@router.delete("/bases/{base_id:id}", name="RemoveBase")
def remove_base(services: ServicesOf, _: Administrator, base_id: str, force: Flag = False) -> RemovedOut:
    """Remove a base from this machine; with `force=true` even if tuned models depend on it."""
    return RemovedOut(bytes=services.downloads.remove(services.library, base_id, is_forced=force))


def _one(services: Services, caller: Caller, name: str) -> BaseOut:
    bases = listed_bases(services.catalog)
    asked = listed_base(services.catalog, name)
    return next(out for out in _outs(services, caller, bases) if out.name == asked.name)


def _outs(services: Services, caller: Caller, bases: Sequence[ListedBase]) -> list[BaseOut]:
    needing = dependents(services.library)
    speed = speeds(services.library, {base.name: base.parameters for base in bases})
    return [_out(services, caller, base, needing.get(base.name, []), speed.get(base.name)) for base in bases]


def _out(
    services: Services, caller: Caller, base: ListedBase, needing: list[Dependent], speed: Speed | None
) -> BaseOut:
    is_from_hub = base.is_offered or base.total_bytes is not None
    return BaseOut(
        name=base.name,
        display_name=base.display_name,
        place=base.place if caller.is_admin or is_from_hub else None,
        licence=base.licence,
        languages=base.languages,
        good_at=base.good_at,
        input_token_limit=base.context,
        parameters=base.parameters,
        is_present=base.is_present,
        is_offered=base.is_offered,
        is_gated=base.is_gated,
        is_default=base.name == services.catalog.default_base,
        download_bytes=base.total_bytes,
        tuning=_memory_out(base.tuning),
        answering=_memory_out(base.answering),
        speed=None if speed is None else _speed_out(speed),
        download=_download_out(services.downloads.of(base)),
        dependents=_dependents_out(needing) if caller.is_admin else None,
    )


def _memory_out(need: Need | None) -> MemoryOut | None:
    if need is None:
        return None
    weights = None if need.weights is WeightFormat.FULL else need.weights
    return MemoryOut(memory_bytes=need.bytes, fit=need.fit, weights=weights)


def _speed_out(speed: Speed) -> SpeedOut:
    return SpeedOut(tokens_per_second=round(speed.tokens, 1), source=speed.source, scaled_from=speed.scaled_from)


def _download_out(download: Download | None) -> DownloadOut | None:
    if download is None:
        return None
    return DownloadOut(
        state=download.state,
        stage=download.stage,
        done_bytes=download.done_bytes,
        total_bytes=download.total_bytes,
        error=download.error,
    )


def _dependents_out(needing: list[Dependent]) -> list[DependentOut] | None:
    return [DependentOut(name=f"tunedModels/{m.id}", display_name=m.display_name) for m in needing] or None
