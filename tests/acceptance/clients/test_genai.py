"""google-genai of both generations, in Python and JavaScript, against a running server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

OLD, NEW, SCRIPT = "google-genai-1.46.0", "google-genai-3.4.0", "google-genai-js"
GUIDE_BASE = "models/gemini-1.5-flash-001-tuning"

Value = Callable[[str, str], Any]

old, script = (pytest.param(client, marks=pytest.mark.full) for client in (OLD, SCRIPT))
python = pytest.mark.parametrize("client", [old, NEW])
every = pytest.mark.parametrize("client", [old, NEW, script])


@pytest.mark.full
def test_examples_are_sent_before_1_47(value_of: Value) -> None:
    """Version 1.46 tunes with its examples directly; the job is queued."""
    name, state, data = value_of(OLD, "create.dicts")

    assert name.startswith("tunedModels/numbers-of-genai-")
    assert (state, data[0]) == ("JOB_STATE_QUEUED", 15)


@pytest.mark.parametrize("client", [NEW, script])
def test_dropped_examples_are_an_error(client: str, value_of: Value) -> None:
    """Later versions send no examples: a 400 that says so and where to read on, not a tuned model of nothing."""
    error = value_of(client, "errors.dropped")

    assert error["code"] == 400
    assert "tuningTask.trainingData.examples.examples is empty" in error["text"]
    assert "extra_body" in error["text"]


@pytest.mark.full
def test_extra_body_carries_the_examples(value_of: Value) -> None:
    """With `extra_body` version 3 sends the very examples that 1.46 sends."""
    name, state, data = value_of(NEW, "create.extra_body")

    assert name.startswith("tunedModels/numbers-of-genai-")
    assert state == "JOB_STATE_QUEUED"
    assert data == value_of(OLD, "create.dicts")[2]


@pytest.mark.full
def test_extra_body_in_javascript(value_of: Value) -> None:
    """With `extraBody` the JavaScript client sends its examples, its settings beside them."""
    _, state, rows, settings = value_of(SCRIPT, "create.extra_body")

    assert (state, rows) == ("JOB_STATE_QUEUED", 4)
    assert settings == {"epochCount": 2, "batchSize": 2, "learningRate": 0.001}


@python
def test_states_go_from_running_to_succeeded(client: str, value_of: Value) -> None:
    """A job is RUNNING, then SUCCEEDED, and names the tuned model and its base."""
    first, last, name, base, has_zone = value_of(client, "progress.state")

    assert (first, last) == ("JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED")
    assert name.startswith("tunedModels/")
    assert (base, has_zone) == (GUIDE_BASE, True)


@pytest.mark.full
def test_state_in_javascript(value_of: Value) -> None:
    """The JavaScript client sees the finished job with its model and base."""
    state, name, base = value_of(SCRIPT, "progress.state")

    assert (state, base) == ("JOB_STATE_SUCCEEDED", GUIDE_BASE)
    assert name.startswith("tunedModels/numbers-of-js-")


@every
def test_answers(client: str, value_of: Value) -> None:
    """An answer has text, a reason to end that the client knows, and counts."""
    reply = value_of(client, "generate.text")

    assert reply["text"]
    assert reply["finish"] in ("STOP", "MAX_TOKENS")
    assert all(reply.get("counts") or reply["usage"].values())


@every
def test_streams_equal_whole_answers(client: str, value_of: Value) -> None:
    """A streamed answer comes in several pieces that make up the whole one."""
    pieces, is_equal = value_of(client, "generate.stream")

    assert pieces > 1
    assert is_equal


@python
def test_asynchronous_answers(client: str, value_of: Value) -> None:
    """The asynchronous calls give the same texts, whole and streamed."""
    assert value_of(client, "generate.async") == [True, True]


@python
def test_settings_of_an_answer(client: str, value_of: Value) -> None:
    """Two candidates of at most three tokens with their log probabilities, with every setting the client has."""
    candidates = value_of(client, "generate.settings")

    assert len(candidates) == 2
    for finish, mean, logs, tops in candidates:
        assert finish == "MAX_TOKENS"
        assert (len(logs), tops) == (3, [2, 2, 2])
        assert mean == pytest.approx(sum(logs) / 3)
        assert mean < 0


@python
def test_a_system_instruction_is_taken(client: str, value_of: Value) -> None:
    """A system instruction is put into the prompt, not refused."""
    assert value_of(client, "generate.system") == "MAX_TOKENS"


@every
def test_tokens_are_counted(client: str, value_of: Value) -> None:
    """Tokens of a tuned model's prompt can be counted."""
    counted = value_of(client, "count_tokens")

    assert (counted if isinstance(counted, int) else counted[0]) > len("one two")


@every
def test_update_without_a_mask(client: str, value_of: Value) -> None:
    """Without a mask, as these clients send it, what is in the body changes."""
    changed = value_of(client, "update")

    assert "renamed" in changed
    assert "by genai" in changed or "by JavaScript" in changed


@every
def test_lists(client: str, value_of: Value) -> None:
    """`models.list` shows tuned models, and the same ones page by page."""
    first, names = value_of(client, "list.pages")

    assert first == 1
    assert names == value_of(client, "list")


@pytest.mark.full
def test_jobs_are_listed_where_the_client_can(value_of: Value, outcomes_of: Callable[[str], dict[str, Any]]) -> None:
    """`tunings.list` works in 1.46; 3.4 refuses by itself."""
    assert value_of(OLD, "list.jobs") == value_of(OLD, "list")
    assert "cannot" in outcomes_of(NEW)["list.jobs"]


@python
def test_cancel(client: str, value_of: Value) -> None:
    """`tunings.cancel` stops a job, its partial model can be used; cancelling again changes nothing."""
    state, again = value_of(client, "cancel")

    assert state == "JOB_STATE_SUCCEEDED"
    assert again in (True, "CancelTuningJobResponse")


@pytest.mark.full
def test_cancel_in_javascript(value_of: Value) -> None:
    """The JavaScript client cancels, too."""
    assert value_of(SCRIPT, "cancel") == "ACTIVE"


@every
def test_what_is_missing_is_404(client: str, value_of: Value) -> None:
    """Each call on something missing is a 404 with its sentence, streams too."""
    errors = value_of(client, "errors.missing")

    assert {error["code"] for error in errors.values()} == {404}
    assert "Tuned model tunedModels/missing does not exist." in errors["stream"]["text"]


@python
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("empty", "is empty: there are no examples to tune on"),
        ("blank", "tuningTask.trainingData.examples.examples[0].textInput"),
        ("epochs", "epoch_count"),
        ("large", "Request payload size exceeds the limit: 4194304 bytes."),
    ],
)
def test_a_create_is_refused(client: str, case: str, words: str, value_of: Value) -> None:
    """Each thing that is wrong with a job is a 400 INVALID_ARGUMENT that names it."""
    error = value_of(client, "errors.create")[case]

    assert (error["type"], error["code"]) == ("ClientError", 400)
    assert "INVALID_ARGUMENT" in error["text"]
    assert words in error["text"]


@python
def test_a_model_that_is_not_ready_is_refused(client: str, value_of: Value) -> None:
    """Asking a model that is still tuned is 400 FAILED_PRECONDITION."""
    error = value_of(client, "errors.not_active")

    assert error["code"] == 400
    assert "FAILED_PRECONDITION" in error["text"]


@every
def test_a_key_cannot_see_tuned_models(client: str, value_of: Value) -> None:
    """With a key only, tuning is 403 ACCESS_TOKEN_SCOPE_INSUFFICIENT, and an unshared model may not be asked."""
    errors = value_of(client, "errors.key_only")

    assert {error["code"] for error in errors.values()} == {403}
    assert "Request had insufficient authentication scopes." in errors["get"]["text"]
    assert "ACCESS_TOKEN_SCOPE_INSUFFICIENT" in errors["get"]["text"]
    assert "You do not have permission to access tuned model" in errors["generate"]["text"]


@every
def test_bad_credentials(client: str, value_of: Value) -> None:
    """A bad token beside a good key is 401; a bad key alone is 400 API_KEY_INVALID."""
    errors = value_of(client, "errors.credentials")

    assert (errors["token"]["code"], errors["key"]["code"]) == (401, 400)
    assert "UNAUTHENTICATED" in errors["token"]["text"]
    assert "API_KEY_INVALID" in errors["key"]["text"]


@every
def test_delete(client: str, value_of: Value) -> None:
    """A deleted model is 404 afterwards."""
    assert value_of(client, "delete")["code"] == 404
