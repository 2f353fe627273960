"""CreateTunedModel over HTTP: requests accepted, and the messages of refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.api import BASE, EXAMPLES, Api, error_of, names, settings_of
from tunery.card import markdown
from tunery.errors import DataLoss
from tunery.types import MAX_DATASET_BYTES

FORMS = [{"textInput": "1", "output": "2"}, {"text_input": "1", "output": "2"}]


def models(api: Api) -> list[dict[str, Any]]:
    """Return the tuned models of the first page."""
    found: list[dict[str, Any]] = api.web.get("/v1beta/tunedModels").json()["tunedModels"]
    return found


# create: what may come in


@pytest.mark.parametrize("example", FORMS)
def test_both_cases_of_names_are_read(api: Api, example: dict[str, str]) -> None:
    """camelCase and snake_case, also mixed within one body."""
    wish = {
        "training_data": {"examples": {"examples": [example]}},
        "hyperparameters": {"epoch_count": 2, "batchSize": 1},
    }
    body = {"base_model": f"models/{BASE}", "displayName": "mixed", "tuning_task": wish}

    reply = api.web.post("/v1beta/tunedModels?tuned_model_id=mixed", json=body)

    assert reply.status_code == 200, reply.text
    assert settings_of(api, "mixed") == {"epochCount": 2, "batchSize": 1, "learningRate": 0.001}


def test_trailing_commas_are_read(api: Api) -> None:
    """The body of the published curl guide, commas before closing brackets and braces included."""
    body = """
      {
        "display_name": "number generator model",
        "base_model": "models/gemini-1.5-flash-001-tuning",
        "tuning_task": {
          "hyperparameters": {"batch_size": 2, "learning_rate": 0.001, "epoch_count":5,},
          "training_data": {"examples": {"examples": [
            {"text_input": "a,]", "output": "b,}",}, {"text_input": "3", "output": "4"},
          ],},},
        },
      }"""

    reply = api.web.post("/v1beta/tunedModels", content=body)

    assert reply.status_code == 200, reply.text
    model = api.library.find(reply.json()["metadata"]["tunedModel"].removeprefix("tunedModels/"))
    assert [(e.text_input, e.output) for e in api.library.examples(model)[0]] == [("a,]", "b,}"), ("3", "4")]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_is_json_whatever_it_is_called(api: Api, content_type: str | None) -> None:
    """The Content-Type does not matter; `curl -d` sends the type of a form."""
    wish = {"trainingData": {"examples": {"examples": EXAMPLES}}}
    body = json.dumps({"baseModel": f"models/{BASE}", "displayName": "numbers", "tuningTask": wish})
    headers = {"content-type": content_type} if content_type else {}

    assert api.web.post("/v1beta/tunedModels", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize("base", [BASE, f"models/{BASE}", "gemini-1.5-flash-001-tuning", "models/text-bison-001"])
def test_a_base_is_named_with_and_without_its_kind(api: Api, base: str) -> None:
    """The base is shown as the request named it, with its full name."""
    assert api.create("numbers", baseModel=base).status_code == 200

    shown = api.web.get("/v1beta/tunedModels/numbers").json()
    assert shown["baseModel"] == f"models/{base.removeprefix('models/')}"
    assert "tunedModelSource" not in shown


def test_null_means_not_set(api: Api) -> None:
    """Fields that are null are as if they were not there."""
    reply = api.create("numbers", description=None, temperature=None, task={"hyperparameters": {"epochCount": None}})

    assert reply.status_code == 200
    assert settings_of(api, "numbers")["epochCount"] == 5


@pytest.mark.parametrize("count", [5, "5", 5.0])
def test_whole_numbers_in_every_form(api: Api, count: Any) -> None:
    """A whole number may come as number, text or integral float."""
    assert api.create("numbers", task={"hyperparameters": {"epochCount": count}}).status_code == 200
    assert settings_of(api, "numbers")["epochCount"] == 5


@pytest.mark.parametrize("state", [2, "ACTIVE", "STATE_UNSPECIFIED", 7])
def test_output_only_fields_are_read_over(api: Api, state: Any) -> None:
    """State, times, snapshots and name of a resource that is sent back are ignored, whatever is in them."""
    task = {"startTime": "2024-01-01T00:00:00Z", "completeTime": "never", "snapshots": [{"step": 1, "meanLoss": 2}]}
    reply = api.create("numbers", state=state, createTime="x", updateTime="y", name="tunedModels/else", task=task)

    assert reply.status_code == 200, reply.text
    assert api.web.get("/v1beta/tunedModels/numbers").json()["state"] == "CREATING"


def test_a_multiplier_becomes_a_rate(api: Api) -> None:
    """The reply has the learning rate that follows from a multiplier, and no multiplier: the old client fails on it."""
    api.create("numbers", task={"hyperparameters": {"learningRateMultiplier": 2.0}})

    assert settings_of(api, "numbers") == {"epochCount": 5, "batchSize": 4, "learningRate": 0.002}


@pytest.mark.parametrize("name", ["models/gemini-2.5-flash", "gemma-3-1b-it"])
def test_a_base_by_the_name_google_gave_it(api: Api, name: str) -> None:
    """The model keeps the name that was asked for; the header and `baseWeights` say what is tuned."""
    api.clear()

    reply = api.create("numbers", baseModel=name)

    assert reply.headers["x-tunery-base-model"] == BASE
    shown = api.web.get("/v1beta/tunedModels/numbers").json()
    assert (shown["baseModel"], shown["baseWeights"]) == (f"models/{name.removeprefix('models/')}", BASE)


@pytest.mark.parametrize("given", [{"temperature": 2.0}, {"topP": 0.5}, {"topK": 40}])
def test_defaults_for_answers_are_kept(api: Api, given: dict[str, Any]) -> None:
    """Temperature up to 2, topP and topK are shown as they were set."""
    api.create("numbers", **given)

    shown = api.web.get("/v1beta/tunedModels/numbers").json()
    assert {name: shown[name] for name in given} == given


def test_fewer_than_20_examples_are_enough(api: Api) -> None:
    """15 rows, as the published guides have, are tuned on without a word."""
    assert len(EXAMPLES) == 15
    assert api.create().status_code == 200


# create: what is refused


REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"displayName": None}, 400, "INVALID_ARGUMENT", "Either tuned_model_id or display_name must be set."),
    ({"displayName": "x" * 41}, 400, "INVALID_ARGUMENT", "40"),
    ({"baseModel": None}, 400, "INVALID_ARGUMENT", "Exactly one of base_model and tuned_model_source must be set."),
    (
        {"tunedModelSource": {"tunedModel": "tunedModels/x"}},
        400,
        "INVALID_ARGUMENT",
        "Exactly one of base_model and tuned_model_source must be set.",
    ),
    (
        {"baseModel": "models/missing"},
        404,
        "NOT_FOUND",
        "models/missing is not found for CREATE TUNED MODEL at API version v1beta.",
    ),
    (
        {"baseModel": None, "tunedModelSource": {"tunedModel": "tunedModels/missing"}},
        404,
        "NOT_FOUND",
        "Tuned model tunedModels/missing does not exist.",
    ),
    ({"tuningTask": None}, 400, "INVALID_ARGUMENT", "tuningTask must be set"),
    ({"tuningTask": {}}, 400, "INVALID_ARGUMENT", "tuningTask.trainingData.examples.examples is empty"),
    ({"temperature": 2.1}, 400, "INVALID_ARGUMENT", "temperature"),
    ({"temperature": -0.1}, 400, "INVALID_ARGUMENT", "temperature"),
    ({"temperature": "NaN"}, 400, "INVALID_ARGUMENT", "temperature"),
    ({"topP": 1.5}, 400, "INVALID_ARGUMENT", "top_p"),
    ({"topK": -1}, 400, "INVALID_ARGUMENT", "top_k"),
    ({"topK": 1.5}, 400, "INVALID_ARGUMENT", "topK"),
    ({"topK": 10**30}, 400, "INVALID_ARGUMENT", "topK"),
    ({"dispalyName": "x"}, 400, "INVALID_ARGUMENT", 'Unknown name "dispalyName": Cannot find field.'),
    ({"readerProjectNumbers": ["x"]}, 400, "INVALID_ARGUMENT", "readerProjectNumbers"),
    ({"readerProjectNumbers": [2**63]}, 400, "INVALID_ARGUMENT", "readerProjectNumbers"),
]


@pytest.mark.parametrize(("changes", "code", "status", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_create_is_refused(api: Api, changes: dict[str, Any], code: int, status: str, words: str) -> None:
    """Each thing that is wrong is named, and nothing is left behind."""
    body = {
        "baseModel": f"models/{BASE}",
        "displayName": "numbers",
        "tuningTask": {"trainingData": {"examples": {"examples": EXAMPLES}}},
    } | changes

    error = error_of(api.web.post("/v1beta/tunedModels", json=body))

    assert (error["code"], error["status"]) == (code, status)
    assert words in error["message"]
    assert names(api) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochCount": 0}, "epoch_count"),
        ({"epochCount": -1}, "epoch_count"),
        ({"epochCount": 1.5}, "epochCount"),
        ({"epochCount": 10**30}, "epochCount"),
        ({"epochCount": True}, "epochCount"),
        ({"batchSize": 0}, "batch_size"),
        ({"labelShare": 1.5}, "label_share"),
        ({"settings": "best"}, "settings"),
        ({"settings": "auto", "epochCount": 0}, "epoch_count"),
        ({"weights": "2bit"}, "weights must be auto, full, 8bit, 4bit, not '2bit'."),
        ({"batchSize": 10**30}, "batchSize"),
        ({"learningRate": 0}, "learning_rate"),
        ({"learningRate": -0.1}, "learning_rate"),
        ({"learningRate": "Infinity"}, "learningRate"),
        ({"learningRateMultiplier": 0}, "learning_rate_multiplier"),
        ({"learningRate": 0.1, "learningRateMultiplier": 1}, "not both"),
        ({"epochs": 5}, "Unknown name \"epochs\" at 'tuningTask.hyperparameters'"),
    ],
)
def test_hyperparameters_are_refused(api: Api, settings: dict[str, Any], words: str) -> None:
    """A value of 0 or below, a fraction, a number without end, both rates, a misspelt name: 400."""
    error = error_of(api.create("numbers", task={"hyperparameters": settings}))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["message"]


def test_settings_of_our_own_are_shown_where_they_were_given(api: Api) -> None:
    """Our extensions; without them the settings are Google's three."""
    api.create("numbers", task={"hyperparameters": {"labelShare": 0.5, "weights": "4bit"}})
    api.create("plain", task={"hyperparameters": {"weights": "auto"}})

    plain = {"epochCount": 5, "batchSize": 4, "learningRate": 0.001}
    assert settings_of(api, "numbers") == {**plain, "labelShare": 0.5, "weights": "4bit"}
    assert settings_of(api, "plain") == plain


def test_auto_settings_say_what_was_chosen_and_why(api: Api) -> None:
    """The model, the list and the card have the sentence; what is named stays; without `auto` there is no sentence."""
    rows = [{"textInput": f"row {number}", "output": "yes" if number % 2 else "no"} for number in range(20)]
    data = {"trainingData": {"examples": {"examples": rows}}}
    for name, settings in {
        "auto": {"settings": "auto"},
        "named": {"settings": "auto", "epochCount": 8, "batchSize": 2},
        "page": {"settings": "page"},
        "numbers": {"settings": "auto"},
    }.items():
        task = {"hyperparameters": settings} | ({} if name == "numbers" else data)
        assert api.create(name, task=task).status_code == 200

    reasons = {model["name"].rpartition("/")[2]: model.get("settingsReason") for model in models(api)}
    card = api.web.get("/v1beta/tunedModels/auto:card").json()
    plain = {"epochCount": 5, "batchSize": 4, "learningRate": 0.001}

    assert settings_of(api, "auto") == {**plain, "epochCount": 20, "labelShare": 0.5}
    assert settings_of(api, "named") == {**plain, "epochCount": 8, "batchSize": 2, "labelShare": 0.5}
    assert settings_of(api, "page") == settings_of(api, "numbers") == plain
    why = "since 20 rows of 2 labels are few."
    assert reasons["auto"] == f"Auto chose 20 epochs and a loss of labels of 0.5, 100 steps in all, {why}"
    assert reasons["named"] == f"Auto chose a loss of labels of 0.5, 80 steps in all, {why}"
    assert reasons["page"] is None
    assert reasons["numbers"].startswith("Auto chose nothing of its own")
    assert card["settings"]["reason"] == reasons["auto"]
    assert reasons["auto"] in markdown(card)


def test_a_reply_with_auto_settings_can_be_sent_again(api: Api) -> None:
    """Its settings are named then, so the same ones are used."""
    rows = [{"textInput": f"row {number}", "output": "yes" if number % 2 else "no"} for number in range(20)]
    data = {"trainingData": {"examples": {"examples": rows}}}
    api.create("first", task=data | {"hyperparameters": {"settings": "auto"}})
    shown = api.web.get("/v1beta/tunedModels/first").json()

    again = api.create(
        "second", task=data | {"hyperparameters": settings_of(api, "first")}, settingsReason=shown["settingsReason"]
    )

    assert again.status_code == 200, again.text
    assert settings_of(api, "second") == settings_of(api, "first")


@pytest.mark.parametrize("epochs", [1, 100])
def test_up_to_100_epochs_at_least(api: Api, epochs: int) -> None:
    """The quick starts use 100."""
    assert api.create(task={"hyperparameters": {"epochCount": epochs}}).status_code == 200


@pytest.mark.parametrize("seed", [10**30, -(2**63) - 1])
def test_a_seed_that_nothing_holds_is_refused(api: Api, seed: int) -> None:
    """Our own field for the seed takes 64 bits."""
    error = error_of(api.create("numbers", task={"seed": seed}))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert "seed" in error["message"]


@pytest.mark.parametrize(
    ("example", "where"),
    [
        ({"textInput": "", "output": "x"}, "[15].textInput"),
        ({"output": "x"}, "[15].textInput"),
        ({"textInput": "x", "output": ""}, "[15].output"),
        ({"textInput": "x" * 40_001, "output": "x"}, "[15].textInput"),
        ({"textInput": "x", "output": "x" * 5_001}, "[15].output"),
        ({"textInput": "a\0b", "output": "x"}, "[15].textInput"),
        ({"textInput": 7, "output": "x"}, "[15].textInput"),
        ({"textInput": "x", "output": "y", "extra": "z"}, "[15]"),
    ],
)
def test_an_example_is_refused_with_its_place(api: Api, example: dict[str, Any], where: str) -> None:
    """Empty, too long, poisonous, not a text, misspelt: the path of the field with the number of the example."""
    error = error_of(api.create("numbers", task={"trainingData": {"examples": {"examples": [*EXAMPLES, example]}}}))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert f"tuningTask.trainingData.examples.examples{where}" in error["message"]


def test_the_longest_texts_are_taken(api: Api) -> None:
    """40,000 characters in and 5,000 out are within the limits of the API, but so much out is not within this base."""
    limits = ({"textInput": "x" * 40_000, "output": "y"}, {"textInput": "x", "output": "y" * 5_000})

    taken, beyond = (api.create(task={"trainingData": {"examples": {"examples": [one]}}}) for one in limits)

    assert taken.status_code == 200
    assert "characters" not in error_of(beyond)["message"]
    assert "tokens with the chat template, limit 128" in error_of(beyond)["message"]


def test_all_bad_rows_are_named_at_once(api: Api) -> None:
    """The message names both rows, the details hold a violation for each."""
    rows = [{"textInput": "", "output": "x"}, {"textInput": "x", "output": ""}]
    error = error_of(api.create("numbers", task={"trainingData": {"examples": {"examples": rows}}}))

    assert "[0].textInput" in error["message"]
    assert "[1].output" in error["message"]
    (details,) = error["details"]
    assert details["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert len(details["fieldViolations"]) >= 2


@pytest.mark.parametrize("model_id", ["A", "a_b", "-a", "a-", "x" * 41, "ä", "a/b", "a b", "1.5"])
def test_an_id_is_refused(api: Api, model_id: str) -> None:
    """An id is 1 to 40 of a-z, 0-9 and -, beginning with a letter and not ending with -."""
    error = error_of(api.create(model_id))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert "cannot be used" in error["message"]


@pytest.mark.parametrize("model_id", ["a", "a1", "a-b", "x" * 40])
def test_an_id_is_taken_as_it_is(api: Api, model_id: str) -> None:
    """An id that was given is the name, without anything behind it."""
    assert api.create(model_id).json()["metadata"]["tunedModel"] == f"tunedModels/{model_id}"


def test_an_id_is_made_of_the_display_name(api: Api) -> None:
    """Without an id: the words of the display name in lower case, and 10 to 12 characters of chance."""
    name = api.create(displayName="Number Generator Model").json()["metadata"]["tunedModel"]

    words, _, chance = name.removeprefix("tunedModels/").rpartition("-")
    assert words == "number-generator-model"
    assert 10 <= len(chance) <= 12


def test_an_id_is_taken_once(api: Api) -> None:
    """A second model of the same id is 409 ALREADY_EXISTS."""
    api.create("numbers")

    error = error_of(api.create("numbers", displayName="another"))
    assert (error["code"], error["status"]) == (409, "ALREADY_EXISTS")


def test_a_body_beyond_4_mib_is_refused(api: Api) -> None:
    """The old client knows the error by its first words; the last byte within the limit is taken."""
    error = error_of(api.web.post("/v1beta/tunedModels", content=b" " * (MAX_DATASET_BYTES + 1)))
    within = error_of(api.web.post("/v1beta/tunedModels", content=b" " * MAX_DATASET_BYTES))

    assert error["code"] == 400
    assert error["message"].startswith("Request payload size exceeds the limit: 4194304 bytes")
    assert "exceeds" not in within["message"]


def test_a_model_that_is_not_active_is_not_tuned_further(api: Api) -> None:
    """A source that is CREATING is 400 FAILED_PRECONDITION."""
    api.queued("numbers")

    reply = api.create(baseModel=None, tunedModelSource={"tunedModel": "tunedModels/numbers"})
    assert error_of(reply)["status"] == "FAILED_PRECONDITION"


def test_another_users_model_is_not_a_source(api: Api) -> None:
    """Who may not read a tuned model may not tune it further."""
    api.active("numbers", base_model=BASE)
    body = {
        "displayName": "further",
        "tunedModelSource": {"tunedModel": "tunedModels/numbers"},
        "tuningTask": {"trainingData": {"examples": {"examples": EXAMPLES}}},
    }

    assert error_of(api.client("x@example.com").post("/v1beta/tunedModels", json=body))["code"] == 403


def test_a_source_is_shown_with_the_base_of_both(api: Api) -> None:
    """The reply has `tunedModelSource` with the root base in it, and no `baseModel`; the old client needs both."""
    api.active("numbers", base_model=BASE)
    source = {"tunedModel": "tunedModels/numbers", "baseModel": "models/ignored"}

    assert api.create("further", baseModel=None, tunedModelSource=source).status_code == 200

    shown = api.web.get("/v1beta/tunedModels/further").json()
    assert shown["tunedModelSource"] == {"tunedModel": "tunedModels/numbers", "baseModel": f"models/{BASE}"}
    assert "baseModel" not in shown


def test_a_model_tuned_again_names_the_other(api: Api) -> None:
    """It is shown alone, in the list and on the card, also after the other was deleted; a name that is none is 400."""
    api.active("numbers", base_model=BASE)
    assert api.create("again", tunedAgainFrom="tunedModels/numbers").status_code == 200
    assert api.web.delete("/v1beta/tunedModels/numbers").status_code == 200

    shown, *_ = api.web.get("/v1beta/tunedModels").json()["tunedModels"]
    card = api.web.get("/v1beta/tunedModels/again:card").json()

    assert shown["tunedAgainFrom"] == "tunedModels/numbers"
    assert card["base"]["tuned_again_from"] == "numbers"
    assert "of `tunedModels/numbers`" in markdown(card)
    assert error_of(api.create("other", tunedAgainFrom="No Name"))["code"] == 400


@pytest.mark.parametrize(
    ("deletes", "status", "code"), [(True, "NOT_FOUND", 404), (False, "DATA_LOSS", 500)], ids=["deleted", "damaged"]
)
def test_a_model_deleted_meanwhile_is_not_found(
    api: Api, monkeypatch: pytest.MonkeyPatch, deletes: bool, status: str, code: int
) -> None:
    """Its files go while a call reads them: that is no loss of data, as it is where the model is still there."""
    api.active("numbers")

    def reading(*_: object) -> None:
        if deletes:
            api.library.delete("numbers")
        raise DataLoss("adapter_model.safetensors cannot be read.")

    monkeypatch.setattr("tunery.server.exports.card_of", reading)
    reply = api.web.get("/v1beta/tunedModels/numbers:card")

    assert (reply.status_code, reply.json()["error"]["status"]) == (code, status)


def test_the_same_key_gives_the_same_model(api: Api) -> None:
    """A request repeated with its Idempotency-Key makes no second model."""
    keyed = {"Idempotency-Key": "once"}

    assert api.create(headers=keyed).json()["name"] == api.create(headers=keyed).json()["name"]
