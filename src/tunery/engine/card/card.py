"""
The model card: all that is known of a tuned model, as a value, a document and two files beside an adapter.

Holds no text of an example, whoever made it. Knows plain values and contracts; neither libraries nor models in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunery.data.inputs import Contracts
from tunery.engine.card.page import markdown
from tunery.engine.files import write_whole
from tunery.errors import InvalidArgument

CARD_JSON, CARD_MARKDOWN = "model-card.json", "model-card.md"
MADE_BY = f"tunery {version('tunery')}"
_ROW_TEXTS = frozenset({"best_rows", "worst_rows"})

Section = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """
    What is known of a tuned model; `sections.py` makes the parts, None is one that nobody recorded.

    `name` and `state` are those of My Library, None elsewhere; `create_time` is in ISO 8601; `calls` say how it is
    asked, by way.
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
        """Return the card of a document, of an older version too."""
        known = {name: document[name] for name in cls.__slots__ if name in document and name != "contracts"}
        known["exports"] = tuple(document.get("exports", ()))
        return cls(**known, contracts=Contracts.of_document(document))

    @classmethod
    def read(cls, folder: Path) -> ModelCard | None:
        """Return the card beside an adapter, None without one; raises InvalidArgument for a file of another kind."""
        path = folder / CARD_JSON
        if not path.is_file():
            return None
        try:
            return cls.of_document(json.loads(path.read_text("utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgument(f"{path} is no model card of tunery ({error!r}). Move it away to go on.") from error

    def document(self) -> dict[str, Any]:
        """Return the card as plain values."""
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
        """Return the card as a page."""
        return markdown(self.document())

    def write(self, folder: Path) -> None:
        """Write the card into a folder, for people and for programs."""
        text = json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"
        write_whole(folder / CARD_JSON, text.encode())
        write_whole(folder / CARD_MARKDOWN, self.markdown().encode())

    def with_evaluation(self, report: Mapping[str, Any]) -> ModelCard:
        """Return the card with an evaluation, but for the texts of single rows: it goes out with exports."""
        return replace(self, evaluation=_plain({key: value for key, value in report.items() if key not in _ROW_TEXTS}))

    def with_export(self, report: Mapping[str, Any]) -> ModelCard:
        """Return the card with the proof of an export, the newest of each format, but for the rows that differed."""
        proofs = [{k: v for k, v in proof.items() if k != "differences"} for proof in report["proofs"]]
        others = tuple(export for export in self.exports if export["format"] != report["format"])
        return replace(self, exports=(*others, _plain({**report, "proofs": proofs})))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they are when they have been written and read again: no tuples, no enums."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _no_contracts() -> dict[str, None]:
    return dict.fromkeys(("prompt_contract", "prompt_sentence", "output_contract", "output_sentence"))
