"""
The model card as a page in Markdown.

Knows the document of `card.py`; looks nothing up. A part that is None was not recorded, and the page says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Card = Mapping[str, Any]


def markdown(card: Card) -> str:
    """Return the page."""
    parts = (_head, _base, _data, _settings, _curve, _verdict, _contracts, _exports, _calls)
    return "\n".join(line for part in parts for line in part(card)) + "\n"


def _head(card: Card) -> Iterator[str]:
    yield f"# {card['display_name']}"
    yield ""
    named = f"`{card['name']}`, {card['state']}, made" if card["name"] else "Made"
    day = f" {card['create_time'][:10]}" if card["create_time"] else ""
    yield f"{named}{day} by {card['made_by']}."
    if card["description"]:
        yield ""
        yield card["description"]


def _base(card: Card) -> Iterator[str]:
    base = card["base"]
    yield from _title("Base")
    size = f", {base['parameters'] / 1e6:,.0f} million parameters" if base["parameters"] else ""
    yield f"{base['display_name']} (`{base['name']}`){size}. Licence: {base['licence']}. Source: {base['source']}."
    yield f"Weights: sha256 `{base['sha256']}`."
    if base["asked_as"] and base["asked_as"] != base["name"]:
        yield f"It was asked for as `{base['asked_as']}`, which stands for this base."
    if base["source_tuned_model"]:
        yield f"Tuning went on from `tunedModels/{base['source_tuned_model']}`."


def _data(card: Card) -> Iterator[str]:
    data = card["data"]
    yield from _title("Data")
    if data is None:
        yield "Not recorded."
        return
    held_out = f", {data['held_out_rows']} of them held out" if data["held_out_rows"] else ", none held out"
    yield f"{data['source']}: {data['rows']} rows{held_out}. sha256 `{data['sha256']}`."


def _settings(card: Card) -> Iterator[str]:
    settings = card["settings"]
    yield from _title("Settings")
    if settings is None:
        yield "Not recorded."
        return
    yield (
        f"{settings['epoch_count']} epochs, batch size {settings['batch_size']},"
        f" learning rate {settings['learning_rate']:g}, seed {settings['seed']}."
    )
    for name in ("in_force", "versions"):
        if settings[name]:
            yield "  " + ", ".join(f"{key} {value}" for key, value in settings[name].items()) + "."


def _curve(card: Card) -> Iterator[str]:
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
        yield f"Kept epochs: {', '.join(map(str, curve['kept_epochs']))}; one of them is asked as `{example}`."


def _verdict(card: Card) -> Iterator[str]:
    report = card["evaluation"]
    yield from _title("Did tuning help?")
    if report is None:
        yield f"Not measured yet: `{_evaluating(card['name'])}`."
    else:
        verdict = report["verdict"]
        yield "There was nothing to compare the tuned model with." if verdict is None else str(verdict["text"])


def _contracts(card: Card) -> Iterator[str]:
    yield from _title("Inputs and outputs")
    yield card["prompt_sentence"] or "How the inputs looked was not recorded."
    yield card["output_sentence"] or "What the outputs were was not recorded."


def _exports(card: Card) -> Iterator[str]:
    yield from _title("Exports")
    if not card["exports"]:
        yield "None was proven yet."
    for export in card["exports"]:
        for proof in export["proofs"]:
            if proof["agreement"] is None:
                yield f"- `{proof['file']}`: not proven. {proof['reason']}"
            else:
                share = f"{proof['agreed']} of {proof['rows']} {export['rows_from']} rows"
                yield f"- `{proof['file']}` in {proof['runtime']}: {share} answered as served."


def _calls(card: Card) -> Iterator[str]:
    yield from _title("How to call it")
    yield "```"
    yield from card["calls"].values()
    yield "```"


def _evaluating(name: str | None) -> str:
    return f"tunery evaluate {name.removeprefix('tunedModels/')}" if name else "model.evaluate()"


def _title(text: str) -> tuple[str, ...]:
    return "", f"## {text}", ""
