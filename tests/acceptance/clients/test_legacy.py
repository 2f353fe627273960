"""google-generativeai against a running server: the published tuning guide, every form of data, every error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

NEW, OLD = "google-generativeai-0.8.6", "google-generativeai-0.7.2"
NAMES = {NEW: "tunedModels/guide-0-8-6", OLD: "tunedModels/guide-0-7-2"}
STEPS = {NEW: 375, OLD: 19}  # 15 examples, batches of 4, 100 and 5 epochs
GUIDE_BASE = "models/gemini-1.5-flash-001-tuning"

Value = Callable[[str, str], Any]

both = pytest.mark.parametrize("client", [NEW, pytest.param(OLD, marks=pytest.mark.full)])


@both
def test_a_base_is_found_as_guides_find_it(client: str, value_of: Value) -> None:
    """The first base that can be tuned is one that is here; the names of old code are listed beside it."""
    models = value_of(client, "models.list")

    tunable = [name for name, methods in models if "createTunedModel" in methods]
    assert tunable[0] == "models/tiny"
    assert [name for name in tunable if "flash" in name] == [GUIDE_BASE]
    assert [name for name, methods in models if "createTunedTextModel" in methods] == ["models/text-bison-001"]


@both
def test_a_base_has_the_limits_of_its_weights(client: str, value_of: Value) -> None:
    """A name of old code shows the true window, and says what answers."""
    assert value_of(client, "models.get") == [
        GUIDE_BASE,
        128,
        "001",
        "Gemini 1.5 Flash 001 Tuning (answered by base)",
    ]


@both
def test_create_replies_with_metadata(client: str, value_of: Value) -> None:
    """The operation of a create has its steps at once, and a name below the model's."""
    made = value_of(client, "create.dicts")

    assert (made["metadata"], made["steps"]) == ("CreateTunedModelMetadata", STEPS[client])
    assert made["name"].startswith(f"{NAMES[client]}/operations/")


@both
def test_settings_in_force_are_shown_from_the_first_get(client: str, value_of: Value) -> None:
    """While it is CREATING, a tuned model shows epochs, batch size and rate."""
    epochs = {NEW: 100, OLD: 5}[client]

    assert value_of(client, "get.creating") == [NAMES[client], "CREATING", epochs, 4, 0.001]


@both
@pytest.mark.parametrize("call", ["generate", "tune"])
def test_a_model_that_is_not_ready_is_refused(client: str, call: str, value_of: Value) -> None:
    """Asking or tuning further a model that is CREATING is a BadRequest that says so."""
    error = value_of(client, "errors.not_active")[call]

    assert error["type"] == "BadRequest"
    assert "is still being tuned" in error["text"] or "is CREATING" in error["text"]


@both
def test_wait_bar_goes_to_the_end(client: str, value_of: Value) -> None:
    """The wait bar sees steps that never go back, each with its snapshot, and ends at the last one."""
    watched = value_of(client, "progress.wait_bar")

    steps = [completed for completed, _, _ in watched["seen"]]
    assert steps == sorted(steps)
    assert all(snapshots == completed for completed, _, snapshots in watched["seen"])
    assert all(percent == 0 for completed, percent, _ in watched["seen"] if completed == 0)
    assert all(percent == pytest.approx(100 * completed / STEPS[client]) for completed, percent, _ in watched["seen"])
    assert watched["last"] == STEPS[client]


@both
def test_result_is_the_tuned_model(client: str, value_of: Value) -> None:
    """`result()` gives the model, ACTIVE, with one snapshot per step and the base as it was asked for."""
    assert value_of(client, "progress.result") == [NAMES[client], GUIDE_BASE, "ACTIVE", STEPS[client]]


@both
def test_an_operation_is_found_by_its_name(client: str, value_of: Value) -> None:
    """`get_operation` of a finished job is done, at 100 percent, with the model."""
    assert value_of(client, "progress.get_operation") == [True, 100.0, NAMES[client]]


@both
def test_snapshots_make_a_data_frame(client: str, value_of: Value) -> None:
    """Snapshots go into pandas as in the guide: a row per step, the loss falls, the last epoch is reached."""
    frame = value_of(client, "snapshots.data_frame")

    assert frame["columns"] == ["compute_time", "epoch", "mean_loss", "step"]
    assert frame["rows"] == STEPS[client]
    assert frame["last"] < frame["first"]
    assert frame["epoch"] == {NEW: 100, OLD: 5}[client]
    assert frame["time"].endswith("+00:00")


def test_snapshots_make_a_plot(value_of: Value) -> None:
    """The loss is drawn over the epochs as in the guide."""
    assert value_of(NEW, "snapshots.plot") > 1000


def test_the_model_has_learned(value_of: Value) -> None:
    """After the guide's 100 epochs answers begin with what was to be learned; unseen inputs are answered too."""
    answers = value_of(NEW, "generate.text")

    assert answers["seven"].startswith("eight")
    assert answers["1"].startswith("2")
    assert all(answers[unseen] for unseen in ("55", "VII", "four"))


@both
def test_a_question_in_parts_is_one_text(client: str, value_of: Value) -> None:
    """Parts are joined without a separator; counts of tokens add up."""
    reply = value_of(client, "generate.parts")

    assert reply["text"] == value_of(client, "generate.text")["seven"]
    assert reply["finish"] in ("STOP", "MAX_TOKENS")
    assert reply["counts"][0] + reply["counts"][1] == reply["counts"][2]


@both
def test_settings_and_safety_settings_are_taken(client: str, value_of: Value) -> None:
    """Three tokens at most are made where three were asked for; safety settings do no harm."""
    assert value_of(client, "generate.settings") == "MAX_TOKENS"


def test_the_stop_text_is_cut_off(value_of: Value) -> None:
    """An answer ends before a stop sequence."""
    assert "red" not in value_of(NEW, "generate.stop")


def test_a_stream_comes_in_pieces(value_of: Value) -> None:
    """A streamed answer of a tuned model comes in several pieces, which begin with what was learned."""
    pieces = value_of(NEW, "generate.stream")

    assert len(pieces) > 1
    assert "".join(pieces).startswith("one hundred")


@both
def test_a_base_streams(client: str, value_of: Value) -> None:
    """A base streams under its old name, also to the version that refuses to stream from tuned models."""
    assert len(value_of(client, "generate.stream_of_base")) > 1


@pytest.mark.full
def test_the_old_client_refuses_by_itself(outcomes_of: Callable[[str], dict[str, Any]]) -> None:
    """What version 0.7.2 cannot do with a tuned model is refused before anything is sent."""
    assert "cannot" in outcomes_of(OLD)["generate.stream"]
    assert "cannot" in outcomes_of(OLD)["count_tokens"]


@both
def test_tokens_of_a_base_are_counted(client: str, value_of: Value) -> None:
    """`count_tokens` on a base counts the prompt with its template."""
    assert value_of(client, "count_tokens.of_base") > len("one two")


@pytest.mark.full
def test_generate_text_answers_as_generate_content(value_of: Value) -> None:
    """The call of PaLM's days gives a tuned model's answer, too."""
    assert value_of(OLD, "generate_text") == value_of(OLD, "generate.text")["seven"]


@both
def test_update_with_a_mask(client: str, value_of: Value) -> None:
    """The guide's update of the description is kept; names and settings change, a top_k of 0 takes it back."""
    assert value_of(client, "update.mask") == "This is my model."
    assert value_of(client, "update.fields") == ["counts on", 0.5, 0.5, 5, 0.0]


@both
def test_update_with_a_whole_message(client: str, value_of: Value) -> None:
    """A message as it was read, state, times and snapshots included, may be sent back."""
    assert value_of(client, "update.message") == "Given as a whole."


@both
def test_what_cannot_be_updated_is_named(client: str, value_of: Value) -> None:
    """A mask with another field is a BadRequest that names it."""
    error = value_of(client, "errors.update")

    assert error["type"] == "BadRequest"
    assert "base_model cannot be updated" in error["text"]


@both
def test_permissions(client: str, value_of: Value) -> None:
    """Permissions are given, listed page by page with the owner's, found, changed and taken back."""
    assert value_of(client, "permissions.create") == [
        ["READER", "USER", "reader@example.com"],
        ["READER", "EVERYONE"],
    ]
    assert value_of(client, "permissions.list") == [["OWNER", "USER"], ["READER", "USER"], ["READER", "EVERYONE"]]
    assert value_of(client, "permissions.get") == "reader@example.com"
    assert value_of(client, "permissions.update") == ["WRITER"]
    assert value_of(client, "permissions.delete") == ["OWNER"]


@both
def test_a_key_may_ask_what_everyone_may_read(client: str, value_of: Value) -> None:
    """With a permission for everyone an API key alone gets answers."""
    assert value_of(client, "generate.by_key") == value_of(client, "generate.text")["seven"]


@both
@pytest.mark.parametrize(
    ("case", "kind"), [("twice", "Conflict"), ("no address", "BadRequest"), ("missing", "NotFound")]
)
def test_permissions_are_refused(client: str, case: str, kind: str, value_of: Value) -> None:
    """The same grantee twice, no address, no such permission: each its own error."""
    assert value_of(client, "errors.permissions")[case]["type"] == kind


@both
def test_ownership_is_handed_on(client: str, value_of: Value) -> None:
    """After a transfer the new owner owns, the old one writes and may not delete any more."""
    assert value_of(client, "permissions.transfer") == [
        ["OWNER", "heir@example.com"],
        ["WRITER", "local@tunery.localhost"],
    ]
    assert value_of(client, "errors.not_owner")["type"] == "Forbidden"


@both
def test_a_tuned_model_is_tuned_further(client: str, value_of: Value) -> None:
    """A tuned model as the source: the reply has the root base, too, without which the client fails."""
    assert value_of(client, "create.tuned_model") == [GUIDE_BASE, NAMES[client], "ACTIVE", 1]


@both
@pytest.mark.parametrize(
    "form",
    ["dicts", "tuples", "columns", "data_frame", "protos", "dataset", "csv", "csv_text", "json", "other_columns"],
)
def test_every_form_of_data_arrives_the_same(client: str, form: str, value_of: Value) -> None:
    """However the client takes its examples, the server reads the same 15."""
    forms = value_of(client, "create.forms")

    assert forms[form] == [15, forms["dicts"][1]]


@both
def test_lists(client: str, value_of: Value) -> None:
    """The list has the models, the newest first; pages of one have the same."""
    listed = [name for name, _ in value_of(client, "list")]

    assert NAMES[client] in listed
    assert value_of(client, "list.pages") == listed


@both
def test_cancel(client: str, value_of: Value) -> None:
    """`cancel()` ends a running job with Cancelled; what was tuned so far is ACTIVE and answers."""
    said, error, state, refusal = value_of(client, "cancel.operation")

    assert said is True
    assert error["type"] == "Cancelled"
    assert (state, refusal) == ("ACTIVE", None)


@both
@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("get", "Tuned model tunedModels/missing does not exist."),
        ("update", "Tuned model tunedModels/missing does not exist."),
        ("delete", "Tuned model tunedModels/missing does not exist."),
        ("generate", "models/missing is not found for API version v1beta, or is not supported for generateContent."),
        ("generate_tuned", "Tuned model tunedModels/missing does not exist."),
        ("operation", "operations/missing does not exist."),
        ("base", "models/missing is not found for CREATE TUNED MODEL at API version v1beta."),
    ],
)
def test_what_is_missing_is_not_found(client: str, call: str, words: str, value_of: Value) -> None:
    """Each call on something missing raises NotFound with the original's sentence."""
    error = value_of(client, "errors.missing")[call]

    assert error["type"] == "NotFound"
    assert words in error["text"]


@both
@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ("taken", "Conflict", "There is already a tuned model"),
        ("id", "BadRequest", "The id 'Not-An-Id' cannot be used"),
        ("nameless", "BadRequest", "Either tuned_model_id or display_name must be set."),
        ("empty", "BadRequest", "tuningTask.trainingData.examples.examples is empty"),
        ("blank", "BadRequest", "tuningTask.trainingData.examples.examples[2].textInput"),
        ("long", "BadRequest", "tuningTask.trainingData.examples.examples[0].output"),
        ("large", "BadRequest", "Request payload size exceeds the limit: 4194304 bytes."),
        ("epochs", "BadRequest", "epoch_count"),
        ("temperature", "BadRequest", "temperature"),
    ],
)
def test_a_create_is_refused(client: str, case: str, kind: str, words: str, value_of: Value) -> None:
    """Each thing that is wrong with a create is named."""
    error = value_of(client, "errors.create")[case]

    assert error["type"] == kind
    assert words in error["text"]


@both
def test_a_refused_create_leaves_nothing(client: str, value_of: Value) -> None:
    """No refused create shows up in the list."""
    assert value_of(client, "errors.nothing_left") == []


@both
@pytest.mark.parametrize("case", ["temperature", "json", "long"])
def test_a_question_is_refused(client: str, case: str, value_of: Value) -> None:
    """A setting out of range, a form of answers that is none and a text beyond the limit are BadRequests."""
    assert value_of(client, "errors.generate")[case]["type"] == "BadRequest"


@both
@pytest.mark.parametrize("call", ["create", "list"])
def test_a_key_cannot_tune(client: str, call: str, value_of: Value) -> None:
    """With a key only: 403, the original's sentence, ACCESS_TOKEN_SCOPE_INSUFFICIENT and the name of the rpc."""
    error = value_of(client, "errors.key_only")[call]

    assert error["type"] == "Forbidden"
    assert "Request had insufficient authentication scopes." in error["text"]
    assert "'reason': 'ACCESS_TOKEN_SCOPE_INSUFFICIENT', 'domain': 'googleapis.com'" in error["text"]
    rpc = {"create": "CreateTunedModel", "list": "ListTunedModels"}[call]
    assert f"'google.ai.generativelanguage.v1beta.ModelService.{rpc}'" in error["text"]


@both
def test_a_key_cannot_ask_what_is_not_shared(client: str, value_of: Value) -> None:
    """With a key only, an unshared tuned model is Forbidden in the original's words."""
    error = value_of(client, "errors.key_only")["generate"]

    assert error["type"] == "Forbidden"
    assert f"You do not have permission to access tuned model {NAMES[client]}." in error["text"]


@both
def test_bad_credentials(client: str, value_of: Value) -> None:
    """A token that is not known ends in google.auth's own error, a bad key in a BadRequest with API_KEY_INVALID."""
    errors = value_of(client, "errors.credentials")

    assert errors["token"]["type"] == "RefreshError"
    assert errors["key"]["type"] == "BadRequest"
    assert "API key not valid. Please pass a valid API key." in errors["key"]["text"]
    assert "API_KEY_INVALID" in errors["key"]["text"]


@both
def test_operations_cannot_be_deleted(client: str, value_of: Value) -> None:
    """`delete_operation` raises MethodNotImplemented."""
    assert value_of(client, "errors.delete_operation")["type"] == "MethodNotImplemented"


@both
def test_delete(client: str, value_of: Value) -> None:
    """A deleted model is not found any more."""
    assert value_of(client, "delete")["type"] == "NotFound"
