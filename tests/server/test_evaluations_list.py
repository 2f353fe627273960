"""The list of a tuned model's evaluations: nothing before, then the one that was asked for."""

from __future__ import annotations

from tests.live import Live


def test_a_model_that_was_not_evaluated_has_an_empty_list(live: Live) -> None:
    """A page can ask without being refused, and sees the evaluation once it was asked for."""
    with live.client() as client:
        live.tune(client, "judged", rows=6)
        before = client.get("/v1beta/tunedModels/judged/evaluations")
        examples = [{"textInput": str(n), "output": str(n + 1)} for n in range(20, 24)]
        asked = client.post("/v1beta/tunedModels/judged:evaluate", json={"examples": {"examples": examples}})
        after = client.get("/v1beta/tunedModels/judged/evaluations").json()["evaluations"]
        client.delete("/v1beta/tunedModels/judged")

    assert (before.status_code, before.json()) == (200, {})
    assert asked.status_code == 200, asked.text
    assert [evaluation["name"] for evaluation in after] == ["tunedModels/judged/evaluation"]
