"""
The model card: everything known about a tuned model, as JSON and Markdown next to its adapter.

It is part of exports, so it never contains the text of an example.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunery.data.outputs import Contracts
from tunery.errors import InvalidArgument
from tunery.files import write_whole
from tunery.types import Advice, CatalogEntry, DataFacts, EpochLoss, Hyperparameters

CARD_JSON, CARD_MARKDOWN = "model-card.json", "model-card.md"
MADE_BY = f"tunery {version('tunery')}"
_ROW_TEXTS = frozenset({"best_rows", "worst_rows", "answered_rows"})

Section = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """
    Everything known about a tuned model; sections that were not recorded are None.

    `name` and `state` are those in My Library, None elsewhere; `create_time` is in ISO 8601; `calls` has an example
    call for each client.
    """

    display_name: str
    base: Section
    curve: Section
    calls: Section
    name: str | None = None
    description: str = ""
    state: str | None = None
    create_time: str | None = None
    made_by: str = MADE_BY
    data: Section | None = None
    settings: Section | None = None
    contracts: Contracts | None = None
    evaluation: Section | None = None
    exports: tuple[Section, ...] = ()

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> ModelCard:
        """Return the card stored in a document, which may come from another version."""
        known = {name: document[name] for name in cls.__slots__ if name in document and name != "contracts"}
        known["exports"] = tuple(document.get("exports", ()))
        return cls(**known, contracts=Contracts.of_document(document))

    @classmethod
    def read(cls, folder: Path) -> ModelCard | None:
        """Return the card next to an adapter, None if there is none; raises InvalidArgument if it cannot be read."""
        path = folder / CARD_JSON
        if not path.is_file():
            return None
        try:
            return cls.of_document(json.loads(path.read_text("utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgument(
                f"{path} is not a tunery model card ({error!r}). Move it elsewhere to continue."
            ) from error

    def document(self) -> dict[str, Any]:
        """Return the card as plain values for JSON."""
        return {
            "name": self.name,
            "display_name": self.display_name,
            "description": self.description,
            "state": self.state,
            "create_time": self.create_time,
            "made_by": self.made_by,
            "base": self.base,
            "data": self.data,
            "settings": self.settings,
            "curve": self.curve,
            "evaluation": self.evaluation,
            **(_no_contracts() if self.contracts is None else self.contracts.document()),
            "exports": list(self.exports),
            "calls": self.calls,
        }

    def markdown(self) -> str:
        """Return the card as a Markdown page."""
        return markdown(self.document())

    def write(self, folder: Path) -> None:
        """Write both files into a folder."""
        text = json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"
        write_whole(folder / CARD_JSON, text.encode())
        write_whole(folder / CARD_MARKDOWN, self.markdown().encode())

    def with_evaluation(self, report: Mapping[str, Any]) -> ModelCard:
        """Return the card with an evaluation report, without its rows."""
        return replace(self, evaluation=_plain({key: value for key, value in report.items() if key not in _ROW_TEXTS}))

    def with_export(self, report: Mapping[str, Any]) -> ModelCard:
        """Return the card with the proof of an export, the newest for each format, without the rows that differed."""
        proofs = [{k: v for k, v in proof.items() if k != "differences"} for proof in report["proofs"]]
        others = tuple(export for export in self.exports if export["format"] != report["format"])
        return replace(self, exports=(*others, _plain({**report, "proofs": proofs})))


def markdown(card: Section) -> str:
    """Return the Markdown page for a card's document."""
    parts = (_head, _base, _data, _settings, _curve, _verdict, _contracts, _exports, _calls)
    return "\n".join(line for part in parts for line in part(card)) + "\n"


def base_section(
    entry: CatalogEntry,
    name: str,
    sha256: str,
    *,
    asked_as: str | None = None,
    source_tuned_model: str | None = None,
    tuned_again_from: str | None = None,
) -> dict[str, Any]:
    """Return the section about the base and its weights."""
    return {
        "name": name,
        "display_name": entry.display_name,
        "licence": entry.licence,
        "source": entry.source,
        "parameters": entry.parameters,
        "sha256": sha256,
        "asked_as": asked_as,
        "source_tuned_model": source_tuned_model,
        "tuned_again_from": tuned_again_from,
    }


def data_section(facts: DataFacts, held_out_rows: int) -> dict[str, Any]:
    """Return the section that identifies the data without its content."""
    return {**asdict(facts), "held_out_rows": held_out_rows}


def settings_section(
    hyperparameters: Hyperparameters,
    seed: int,
    in_force: Mapping[str, object],
    versions: Mapping[str, str],
    *,
    reason: str | None = None,
) -> dict[str, Any]:
    """
    Return the section of settings: requested, in force, and the versions of libraries; `reason` is what `auto` chose
    and why.
    """
    given = {name: value for name, value in hyperparameters.resolve().facts().items() if value is not None}
    return {**given, "seed": seed, "reason": reason, "in_force": dict(in_force), "versions": dict(versions)}


def curve_section(
    epoch_losses: Sequence[EpochLoss],
    advice: Advice | None,
    *,
    completed_steps: int,
    total_steps: int,
    kept_epochs: Sequence[int] = (),
    served_epoch: int | None = None,
) -> dict[str, Any]:
    """Return the section of losses by epoch, with advice."""
    return {
        "epoch_losses": [asdict(loss) for loss in epoch_losses],
        "advice": advice.text if advice else None,
        "completed_steps": completed_steps,
        "total_steps": total_steps,
        "kept_epochs": list(kept_epochs),
        "served_epoch": served_epoch,
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they come back from JSON: no tuples, no enums."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _no_contracts() -> dict[str, None]:
    return dict.fromkeys(("prompt_contract", "prompt_sentence", "output_contract", "output_sentence"))


def _head(card: Section) -> Iterator[str]:
    yield f"# {card['display_name']}"
    yield ""
    named = f"`{card['name']}`, {card['state']}, made" if card["name"] else "Made"
    day = f" {card['create_time'][:10]}" if card["create_time"] else ""
    yield f"{named}{day} by {card['made_by']}."
    if card["description"]:
        yield ""
        yield card["description"]


def _base(card: Section) -> Iterator[str]:
    base = card["base"]
    yield from _title("Base")
    size = f", {base['parameters'] / 1e6:,.0f} million parameters" if base["parameters"] else ""
    yield f"{base['display_name']} (`{base['name']}`){size}. Licence: {base['licence']}. Source: {base['source']}."
    yield f"SHA-256 of the weights: `{base['sha256']}`."
    if base["asked_as"] and base["asked_as"] != base["name"]:
        yield f"Requested as `{base['asked_as']}`, an alias of this base."
    if base["source_tuned_model"]:
        yield f"Tuning continued from `tunedModels/{base['source_tuned_model']}`."
    if again := base.get("tuned_again_from"):  # cards of earlier versions do not have it
        yield f"Tuned again, with the examples and settings of `tunedModels/{again}` or changes to them."


def _data(card: Section) -> Iterator[str]:
    data = card["data"]
    yield from _title("Data")
    if data is None:
        yield "Not recorded."
        return
    held_out = f", {data['held_out_rows']} of them held out" if data["held_out_rows"] else ", none held out"
    yield f"{data['source']}: {data['rows']} rows{held_out}. SHA-256: `{data['sha256']}`."


def _settings(card: Section) -> Iterator[str]:
    settings = card["settings"]
    yield from _title("Settings")
    if settings is None:
        yield "Not recorded."
        return
    epochs = settings["epoch_count"]
    loss = f", loss of labels {settings['label_share']:g}" if settings.get("label_share") else ""
    weights = f", weights of the base {settings['weights']}" if settings.get("weights") else ""
    yield (
        f"{epochs} epoch{'s' if epochs != 1 else ''}, batch size {settings['batch_size']},"
        f" learning rate {settings['learning_rate']:g}, seed {settings['seed']}{loss}{weights}."
    )
    if reason := settings.get("reason"):  # cards of earlier versions do not have it
        yield reason
    for name in ("in_force", "versions"):
        if settings[name]:
            yield "  " + ", ".join(f"{key} {value}" for key, value in settings[name].items()) + "."


def _curve(card: Section) -> Iterator[str]:
    curve = card["curve"]
    yield from _title("Loss")
    yield f"{curve['completed_steps']} of {curve['total_steps']} steps."
    if curve["epoch_losses"]:
        yield ""
        yield "| epoch | mean loss | held-out loss |"
        yield "|---|---|---|"
        for loss in curve["epoch_losses"]:
            held_out = "" if loss["held_out_loss"] is None else f"{loss['held_out_loss']:.4f}"
            yield f"| {loss['epoch']} | {loss['mean_loss']:.4f} | {held_out} |"
    if curve["advice"]:
        yield ""
        yield curve["advice"]
    if curve["kept_epochs"]:
        example = f"{card['name']}@epoch-{curve['kept_epochs'][0]}"
        yield ""
        served = f" Epoch {curve['served_epoch']} is in use." if curve.get("served_epoch") else ""
        yield f"Kept epochs: {', '.join(map(str, curve['kept_epochs']))}; call one as `{example}`.{served}"


def _verdict(card: Section) -> Iterator[str]:
    report = card["evaluation"]
    yield from _title("Did tuning help?")
    if report is None:
        yield f"Not measured yet: `{_evaluating(card['name'], card['data'] or {})}`."
    else:
        verdict = report["verdict"]
        yield "There was no baseline to compare the tuned model with." if verdict is None else str(verdict["text"])
        if report.get("calibration"):
            yield from _calibration(report["calibration"])


def _calibration(document: Section) -> Iterator[str]:
    from tunery.evaluation.calibration import cells, read_calibration, sentence

    found = read_calibration(document)
    yield from ("", sentence(found), "", "| answer only above | rows answered | of these right |", "|---|---|---|")
    yield from (f"| {' | '.join(row)} |" for row in cells(found))


def _contracts(card: Section) -> Iterator[str]:
    yield from _title("Inputs and outputs")
    yield card["prompt_sentence"] or "The format of the inputs was not recorded."
    yield card["output_sentence"] or "The kind of outputs was not recorded."


def _exports(card: Section) -> Iterator[str]:
    yield from _title("Exports")
    if not card["exports"]:
        yield "No export has been proven yet."
    for export in card["exports"]:
        for proof in export["proofs"]:
            if proof["agreement"] is None:
                yield f"- `{proof['file']}`: not proven. {proof['reason']}"
            else:
                share = f"{proof['agreed']} of {proof['rows']} {export['rows_from']} rows"
                yield f"- `{proof['file']}` in {proof['runtime']}: same answer as tunery for {share}."


def _calls(card: Section) -> Iterator[str]:
    yield from _title("How to call it")
    yield "```"
    yield from card["calls"].values()
    yield "```"


def _evaluating(name: str | None, data: Section) -> str:
    if name is None:
        return "model.evaluate()" if data.get("held_out_rows") else "model.evaluate(rows)"
    return how_to_evaluate(name.removeprefix("tunedModels/"), data.get("rows", 0), data.get("held_out_rows", 0))


def how_to_evaluate(model_id: str, rows: int, held_out_rows: int) -> str:
    """Return the command that evaluates a tuned model: on its held-out rows, by folds, or on rows of a file."""
    from tunery.evaluation.contest import FOLDS
    from tunery.evaluation.verdict import LEAST_ROWS

    how = "" if held_out_rows else f" --folds {FOLDS}" if rows >= LEAST_ROWS else " FILE"
    return f"tunery evaluate {model_id}{how}"


def _title(text: str) -> tuple[str, ...]:
    return "", f"## {text}", ""
