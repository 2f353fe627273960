"""
Copies of tuned models for use elsewhere: a PEFT adapter, merged weights, or GGUF, each with its proof.

An order contains only plain values, so it can be carried out by the command itself or by a child of the server.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.card import ModelCard, base_section, curve_section, data_section, settings_section
from tunery.errors import Cancelled, FailedPrecondition, InvalidArgument, TuneryError, Unavailable, as_tunery_error
from tunery.files import MANIFEST, into, open_published
from tunery.service import folder
from tunery.service import folder as epochs
from tunery.service.contracts import contracts_of
from tunery.service.library import Library
from tunery.service.process import Alive, Channel, Child
from tunery.types import BASE_RENDERING, Rendering, TunedModel

if TYPE_CHECKING:
    from tunery.engine.catalog import Catalog
    from tunery.engine.export import Source

FORMATS = ("adapter", "merged", "gguf")
BITS = (16, 8)  # per weight of a GGUF file


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """
    What to export: a format, an epoch (None: the epoch in use), and for GGUF the bits per weight (None: one file of
    each).

    `proves` None proves it if there are held-out rows.
    """

    format: str = "adapter"
    epoch: int | None = None
    bits: int | None = None
    proves: bool | None = None


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """An export as plain values: what is exported, from where, and the prompts that prove it (none: no proof)."""

    format: str
    model_id: str
    base_model: str
    data_folder: Path
    base_folder: Path
    published: Path
    manifest_sha256: str
    epoch: int | None = None
    bits: int | None = None  # per weight of a GGUF file, 16 or 8; None for a file of each
    rendering: Rendering = BASE_RENDERING
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    questions: tuple[str, ...] = field(default=(), repr=False)
    rows_from: str = "held-out"  # or "training", where nothing was held out
    python: str = ""


def order(
    library: Library, catalog: Catalog, model: TunedModel, choice: ExportChoice, *, python: str = ""
) -> ExportOrder:
    """
    Return what is to be exported, as plain values; `python` is the interpreter with the runtimes of proofs.

    Raises FailedPrecondition if the model cannot be called or its base is not the one it was tuned on, NotFound for an
    epoch that was not kept, InvalidArgument for bits that the format does not have.
    """
    export_format, epoch, proves = choice.format, choice.epoch, choice.proves
    if export_format not in FORMATS:
        raise InvalidArgument(f"format must be one of {', '.join(FORMATS)}, not {export_format!r}.")
    if choice.bits is not None and (export_format != "gguf" or choice.bits not in BITS):
        raise InvalidArgument(f"bits can be {' or '.join(map(str, BITS))}, and only for the format gguf.")
    published, digest = library.artifact(model)
    epoch = epoch or model.chosen_epoch
    epochs.epoch_folder(published, epoch)
    if (export_format != "adapter" or proves) and catalog.digest(model.base_model) != model.base_digest:
        raise FailedPrecondition(f"The base {model.base_model} is not the one that {model.id} was tuned on.")
    used, held_out = library.examples(model)
    rows = () if proves is False or (proves is None and not held_out) else (held_out or used)
    needs_base = export_format != "adapter" or bool(rows) or catalog.is_present(model.base_model)
    return ExportOrder(
        format=export_format,
        model_id=model.id,
        base_model=model.base_model,
        data_folder=library.folder.path,
        base_folder=catalog.folder(model.base_model) if needs_base else Path(),
        published=published,
        manifest_sha256=digest,
        epoch=epoch,
        bits=choice.bits,
        rendering=model.rendering,
        temperature=model.temperature,
        top_p=model.top_p,
        top_k=model.top_k,
        questions=tuple(row.text_input for row in rows),
        rows_from="held-out" if held_out else "training",
        python=python,
    )


def write(order: ExportOrder, folder: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """
    Carry out an order in an empty folder and return its proof as a document, None if none was requested.

    Heavy: loads the base. `say` gets a line before each long step. Raises DataLoss if a published file has changed.
    """
    published = open_published(order.published, order.manifest_sha256)
    if order.format == "adapter":
        # the manifest lists everything that was published, including the other epochs
        shutil.copytree(published, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(epochs.EPOCHS, MANIFEST))
        from tunery.engine.export import write_own_template

        write_own_template(order.base_folder, order.rendering, folder)
    if order.format != "adapter" or order.epoch is not None:
        from tunery.engine.catalog import Catalog
        from tunery.engine.export import WRITERS
        from tunery.engine.integrity import require_whole

        if order.format != "adapter":
            require_whole(Catalog(order.data_folder), order.base_model)
        WRITERS[order.format](source_of(order), folder)
    if not order.questions:
        return None
    return _proof(order, folder, say)


def export_base(catalog: Catalog, base_model: str, target: Path) -> Path:
    """
    Write a base in float16 as GGUF into the new or empty folder `target`; returns the file in it.

    One such file serves the `adapter.gguf` of every model tuned on it. Heavy: loads the base.
    Raises AlreadyExists if something is there, NotFound for an unknown base, FailedPrecondition if `target` cannot be
    written, the base is not on this machine, or GGUF cannot represent it.
    """
    from tunery.engine.export import base_gguf, write_base_gguf
    from tunery.engine.integrity import require_whole

    require_whole(catalog, base_model)
    entry, weights = catalog.resolve(base_model), catalog.folder(base_model)
    own_name = entry.alias_of or entry.name
    with into(target) as work:
        write_base_gguf(weights, work / base_gguf(own_name), own_name)
    return target / base_gguf(own_name)


def report_kind(export_format: str) -> str:
    """Return the kind of the report about exports of a format."""
    return f"EXPORT_{export_format.upper()}"


def source_of(order: ExportOrder) -> Source:
    """Return the parts of an order that the engine needs."""
    from tunery.engine.export import Source

    return Source(
        base_folder=order.base_folder,
        adapter_folder=epochs.epoch_folder(order.published, order.epoch),
        name=order.model_id,
        temperature=order.temperature,
        top_p=order.top_p,
        top_k=order.top_k,
        bits=order.bits,
        rendering=order.rendering,
    )


@dataclass(frozen=True, slots=True)
class ExportSize:
    """The approximate size of an export in bytes; for GGUF, by bits per weight."""

    format: str
    bits: int | None
    size_bytes: int


def sizes(library: Library, catalog: Catalog, model: TunedModel) -> tuple[ExportSize, ...]:
    """
    Return the formats that a tuned model can be exported to, with the size of its chosen epoch in each.

    Whole models only if their base is on this machine. Raises FailedPrecondition if the model cannot be called.
    """
    published, _ = library.artifact(model)
    adapter = sum(path.stat().st_size for path in published.iterdir() if path.is_file() and path.name != MANIFEST)
    found = [ExportSize("adapter", None, adapter)]
    entry = catalog.resolve(model.base_model)
    if entry.is_present and entry.parameters is not None:
        folder = catalog.folder(model.base_model)
        rest = sum(path.stat().st_size for path in folder.glob("tokenizer*"))
        wide = entry.parameters * 2  # float16
        table = 2 * _table_weights(json.loads((folder / "config.json").read_text("utf-8")))
        narrow = table + (wide - table) * 34 // 64  # blocks of 32 bytes and a scale, instead of 32 times 2 bytes
        found.append(ExportSize("merged", None, wide + rest))
        found += [ExportSize("gguf", 16, wide + rest + adapter), ExportSize("gguf", 8, narrow + rest + adapter)]
    return tuple(found)


def _table_weights(config: dict[str, Any]) -> int:
    """Return the number of weights in the token table and the head of a base, which are not stored in fewer bits."""
    table = int(config.get("vocab_size", 0)) * int(config.get("hidden_size", 0))
    return table if config.get("tie_word_embeddings", True) else 2 * table


def _proof(order: ExportOrder, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    from tunery.engine.adapter import read_adapter
    from tunery.engine.proof import MAX_PROOF_ROWS, prove_export
    from tunery.engine.resident import loaded_base

    resident = loaded_base(order.base_model, order.data_folder)
    adapter = read_adapter(epochs.epoch_folder(order.published, order.epoch), resident.network)
    slot = resident.add(adapter, order.rendering)
    proof = prove_export(
        order.format,
        folder,
        resident,
        slot,
        order.questions[:MAX_PROOF_ROWS],
        rows_from=order.rows_from,
        python=order.python,
        say=say,
    )
    return {**proof.document(), "epoch": order.epoch, "manifest_sha256": order.manifest_sha256}


EVALUATION = "EVALUATION"


def card_of(library: Library, catalog: Catalog, model: TunedModel) -> ModelCard:
    """Return the card of a tuned model."""
    reports, task = library.reports(model), model.task
    card = ModelCard(
        name=model.name,
        display_name=model.display_name,
        description=model.description,
        state=model.state.value,
        create_time=model.create_time.isoformat(),
        base=base_section(
            catalog.resolve(model.base_model),
            model.base_model,
            model.base_digest,
            asked_as=model.base_name_asked,
            source_tuned_model=model.source_tuned_model,
            tuned_again_from=model.tuned_again_from,
        ),
        data=data_section(task.data, task.held_out_rows),
        settings=settings_section(
            task.hyperparameters, task.seed, task.settings, task.versions, reason=model.settings_reason
        ),
        curve=curve_section(
            task.epoch_losses,
            task.advice,
            completed_steps=task.completed_steps,
            total_steps=task.total_steps,
            kept_epochs=folder.kept_epochs(library.folder.path / model.artifact) if model.artifact else (),
            served_epoch=model.served_epoch,
        ),
        contracts=contracts_of(library, model),
        calls=_calls(model),
    )
    if EVALUATION in reports:
        card = card.with_evaluation(reports[EVALUATION])
    for kind in map(report_kind, FORMATS):
        card = card.with_export(reports[kind]) if kind in reports else card
    return card


def _calls(model: TunedModel) -> dict[str, str]:
    return {
        "cli": f'tunery generate {model.id} "..."',
        "http": f"POST /v1beta/{model.name}:generateContent",
        "python": f'genai.GenerativeModel("{model.name}").generate_content("...")',
    }


LEASE_SECONDS = 30.0  # a child that sends nothing for this long counts as frozen
NICENESS = 10  # answers and tuning go first

_log = logging.getLogger("tunery.exporting")


@dataclass(frozen=True, slots=True)
class Exported:
    """From the child: everything has been written; the proof if one was requested."""

    proof: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Refused:
    """From the child: the error."""

    error: TuneryError


def exported(order: ExportOrder, folder: Path, is_unwanted: Callable[[], bool]) -> dict[str, Any] | None:
    """
    Have a child carry out an order in a folder; return the proof, None if none was requested.

    Raises what the child raised, Unavailable if it died, Cancelled soon after `is_unwanted` says so.
    """
    child = Child("exporting", main, order, folder, niceness=NICENESS)
    try:
        while isinstance(message := child.receive(LEASE_SECONDS), Alive):
            if is_unwanted():
                raise Cancelled("The client left before the export was written.")
    except (EOFError, TimeoutError):
        raise Unavailable(
            "The exporting process ended before it was done, perhaps because it ran out of memory."
        ) from None
    finally:
        child.kill()
        child.stop()
    if isinstance(message, Refused):
        raise message.error
    assert isinstance(message, Exported)
    return message.proof


def main(channel: Channel, order: ExportOrder, folder: Path) -> None:
    """Carry out one order and send the result."""
    channel.show_life()
    try:
        channel.send(Exported(write(order, folder, _log.info)))
    except TuneryError as error:
        channel.send(Refused(error))
    except Exception as error:  # noqa: BLE001  # the parent has to be told
        _log.exception("An export failed")
        channel.send(Refused(as_tunery_error(error)))
