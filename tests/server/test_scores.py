"""The score of an evaluation beside each tuned model of a list."""

from __future__ import annotations

from tests.server.api import Api
from tunery.service.reports import EVALUATION

FIGURES = [{"metric": "accuracy", "value": 0.85, "interval": {"low": 0.7, "high": 0.93}}]


def test_an_evaluated_model_has_its_score(api: Api) -> None:
    """Metric, value and verdict, beside the base's; a model without an evaluation has none, and no row comes along."""
    api.clear()
    judged = api.active("judged")
    api.active("unjudged")
    base = [{**FIGURES[0], "value": 0.4}]
    document = {
        "metric": "accuracy",
        "contenders": [{"name": "base", "figures": base}, {"name": "tuned", "figures": FIGURES}],
        "verdict": {"kind": "HELPED", "text": "Tuning helped."},
        "worst_rows": [{"text_input": "a private row"}],
    }
    api.library.put_report(judged, EVALUATION, document)

    reply = api.web.get("/v1beta/tunedModels")
    shown = {model["name"]: model.get("score") for model in reply.json()["tunedModels"]}

    score = {"metric": "accuracy", "value": 0.85, "baseValue": 0.4, "verdict": "HELPED"}
    assert shown == {"tunedModels/judged": score, "tunedModels/unjudged": None}
    assert api.web.get("/v1beta/tunedModels/judged").json()["score"] == score
    assert "private" not in reply.text
