"""The card of a model of My Library: it has the findings of evaluation and exports, and no text of an example."""

from __future__ import annotations

import json

from tests.service.samples import tuned
from tunery.engine.catalog import Catalog
from tunery.evaluation.report import Verdict, VerdictKind
from tunery.service.export import card_of
from tunery.service.library import Library
from tunery.service.reports import EVALUATION


def test_the_verdict_is_a_sentence(library: Library) -> None:
    """A model that was evaluated has the sentence of its verdict on its card, and nothing of how it is kept."""
    model = tuned(library, id="judged", base_model="smollm2-135m-instruct")
    verdict = Verdict(next(iter(VerdictKind)), "Tuning helped: 89 % against 59 %.")
    library.put_report(model, EVALUATION, {"verdict": {"kind": verdict.kind, "text": verdict.text}})

    text = card_of(library, Catalog(library.folder.path), library.get("judged")).markdown()

    assert verdict.text in text
    assert "{'kind'" not in text


def test_texts_of_rows_stay_out_of_the_card(library: Library) -> None:
    """Whoever may only read a model, or gets an export of it, sees no example in its evaluation."""
    model = tuned(library, id="judged", base_model="smollm2-135m-instruct")
    rows = [{"row": 1, "text_input": "a private row", "expected": "x", "answers": {}, "score": 0.0}]
    library.put_report(
        model, EVALUATION, {"verdict": None, **dict.fromkeys(("best_rows", "worst_rows", "answered_rows"), rows)}
    )

    card = card_of(library, Catalog(library.folder.path), library.get("judged"))

    assert "a private row" not in json.dumps(card.document())
    assert card.evaluation == {"verdict": None}
