"""
google-generativeai over REST: the published tuning guide from the first to the last cell, and everything around it.

Argument: the number of epochs of the guide's model.
"""

import csv
import json
import sys
import tempfile
from pathlib import Path

import google.generativeai as genai
from google.api_core.client_options import ClientOptions
from google.generativeai import operations, protos
from google.generativeai.client import get_default_model_client
from google.oauth2.credentials import Credentials
from record import GUIDE_BASE, KEY, PAIRS, TOKEN, URL, Cannot, behaviour, data_of, error_of, raw, say, wait_until_done

EPOCHS = int(sys.argv[1])
OLD = genai.__version__.startswith("0.7")
NAME = "tunedModels/guide-" + genai.__version__.replace(".", "-")
ID = NAME.partition("/")[2]
S = {}


def sign_in(**credentials):
    # options anew each time: the client writes the key into them
    genai.configure(**credentials, transport="rest", client_options=ClientOptions(api_endpoint=URL))


sign_in(credentials=Credentials(TOKEN))


@behaviour("models.list")
def _():
    S["models"] = list(genai.list_models())
    return [[model.name, list(model.supported_generation_methods)] for model in S["models"]]


@behaviour("models.get")
def _():
    model = genai.get_model(GUIDE_BASE)
    return [model.name, model.input_token_limit, model.version, model.display_name]


# The guide: begin


@behaviour("create.dicts")
def _():
    base_model = [  # noqa: RUF015  # as the guide has it
        model
        for model in genai.list_models()
        if "createTunedModel" in model.supported_generation_methods and "flash" in model.name
    ][0]
    S["operation"] = genai.create_tuned_model(
        source_model=base_model.name,
        training_data=[{"text_input": text_input, "output": output} for text_input, output in PAIRS],
        id=ID,
        epoch_count=EPOCHS,
        batch_size=4,
        learning_rate=0.001,
    )
    metadata = S["operation"].metadata
    return {"metadata": type(metadata).__name__, "steps": metadata.total_steps, "name": S["operation"].name}


@behaviour("get.creating")
def _():
    model = genai.get_tuned_model(NAME)
    settings = model.tuning_task.hyperparameters
    S["refusals"] = {
        "generate": error_of(lambda: genai.GenerativeModel(NAME).generate_content("1")),
        "tune": error_of(lambda: genai.create_tuned_model(NAME, PAIRS, id="too-early")),
    }
    return [model.name, model.state.name, settings.epoch_count, settings.batch_size, round(settings.learning_rate, 6)]


@behaviour("errors.not_active")
def _():
    return S["refusals"]


@behaviour("progress.wait_bar")
def _():
    seen = []
    for status in S["operation"].wait_bar(disable=True):
        seen.append([status.completed_steps, status.completed_percent, len(status.snapshots)])
    return {
        "polls": len(seen),
        "seen": seen[:: max(1, len(seen) // 20)],
        "last": S["operation"].metadata.completed_steps,
    }


@behaviour("progress.result")
def _():
    S["model"] = S["operation"].result()
    return [S["model"].name, S["model"].base_model, S["model"].state.name, len(S["model"].tuning_task.snapshots)]


@behaviour("progress.get_operation")
def _():
    operation = genai.get_operation(S["operation"].name)
    return [operation.done(), operation.metadata.completed_percent, operation.result().name]


@behaviour("snapshots.data_frame")
def _():
    import pandas

    frame = pandas.DataFrame(S["model"].tuning_task.snapshots)
    S["frame"] = frame
    return {
        "columns": sorted(frame.columns),
        "rows": len(frame),
        "first": float(frame["mean_loss"].iloc[0]),
        "last": float(frame["mean_loss"].iloc[-1]),
        "epoch": float(frame["epoch"].iloc[-1]),
        "time": str(frame["compute_time"].iloc[0]),
    }


@behaviour("snapshots.plot")
def _():
    if OLD:
        raise Cannot("no plot is tried")
    import matplotlib

    matplotlib.use("Agg")
    axes = S["frame"].plot(x="epoch", y="mean_loss")
    with tempfile.TemporaryDirectory() as folder:
        axes.figure.savefig(Path(folder) / "loss.png")
        return (Path(folder) / "loss.png").stat().st_size


@behaviour("generate.text")
def _():
    model = genai.GenerativeModel(model_name=NAME)
    return {text: model.generate_content(text).text for text in ("seven", "1", "55", "VII", "four")}


@behaviour("update.mask")
def _():
    genai.update_tuned_model(NAME, {"description": "This is my model."})
    return genai.get_tuned_model(NAME).description


# The guide: the deletion is at the end


@behaviour("generate.parts")
def _():
    reply = genai.GenerativeModel(NAME).generate_content(["sev", "en"])
    usage = reply.usage_metadata
    return {
        "text": reply.text,
        "finish": reply.candidates[0].finish_reason.name,
        "counts": [usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count],
    }


@behaviour("generate.settings")
def _():
    config = genai.GenerationConfig(max_output_tokens=3, temperature=0.7, top_p=0.9, top_k=20, candidate_count=1)
    reply = genai.GenerativeModel(NAME).generate_content(
        "twenty two", generation_config=config, safety_settings={"HARASSMENT": "block_none"}
    )
    return reply.candidates[0].finish_reason.name


@behaviour("generate.stop")
def _():
    config = genai.GenerationConfig(stop_sequences=["red"])
    return genai.GenerativeModel(NAME).generate_content("two hundred", generation_config=config).text


@behaviour("generate.stream")
def _():
    try:
        reply = genai.GenerativeModel(NAME).generate_content("ninety nine", stream=True)
    except ValueError as error:
        raise Cannot("the client refuses to stream from a tuned model") from error
    return [chunk.text for chunk in reply]


@behaviour("generate.stream_of_base")
def _():
    return [chunk.text for chunk in genai.GenerativeModel(GUIDE_BASE).generate_content("one", stream=True)]


@behaviour("count_tokens")
def _():
    try:
        return genai.GenerativeModel(NAME).count_tokens("one two").total_tokens
    except ValueError as error:
        raise Cannot("the client refuses to count for a tuned model") from error


@behaviour("count_tokens.of_base")
def _():
    return genai.GenerativeModel(GUIDE_BASE).count_tokens("one two").total_tokens


@behaviour("generate_text")
def _():
    if not hasattr(genai, "generate_text"):
        raise Cannot("removed from this version")
    return genai.generate_text(model=NAME, prompt="seven", temperature=0.0).result


@behaviour("update.fields")
def _():
    model = genai.update_tuned_model(NAME, {"display_name": "counts on", "temperature": 0.5, "top_p": 0.5, "top_k": 5})
    restored = genai.update_tuned_model(NAME, {"temperature": 0.0, "top_p": 1.0, "top_k": 0})
    return [model.display_name, model.temperature, model.top_p, model.top_k, restored.temperature]


@behaviour("update.message")
def _():
    message = protos.TunedModel(get_default_model_client().get_tuned_model(name=NAME))
    message.description = "Given as a whole."
    return genai.update_tuned_model(message).description


@behaviour("errors.update")
def _():
    return error_of(lambda: genai.update_tuned_model(NAME, {"base_model": "models/other"}))


@behaviour("permissions.create")
def _():
    permissions = S["model"].permissions
    made = permissions.create(role="READER", grantee_type="USER", email_address="Reader@example.com")
    everyone = permissions.create(role="READER", grantee_type="EVERYONE")
    S["permission"] = made
    return [
        [made.role.name, made.grantee_type.name, made.email_address],
        [everyone.role.name, everyone.grantee_type.name],
    ]


@behaviour("generate.by_key")
def _():
    sign_in(api_key=KEY)
    try:
        return genai.GenerativeModel(NAME).generate_content("seven").text
    finally:
        sign_in(credentials=Credentials(TOKEN))


@behaviour("permissions.list")
def _():
    return [[one.role.name, one.grantee_type.name] for one in S["model"].permissions.list(page_size=1)]


@behaviour("permissions.get")
def _():
    from google.generativeai.types.permission_types import Permission

    return Permission.get(S["permission"].name).email_address


@behaviour("permissions.update")
def _():
    S["permission"].update({"role": "WRITER"})
    return [one.role.name for one in S["model"].permissions.list() if one.name == S["permission"].name]


@behaviour("errors.permissions")
def _():
    permissions = S["model"].permissions
    return {
        "twice": error_of(lambda: permissions.create(role="READER", email_address="reader@example.com")),
        "no address": error_of(lambda: permissions.create(role="READER", email_address="nobody")),
        "missing": error_of(lambda: permissions.get(NAME + "/permissions/0")),
    }


@behaviour("permissions.delete")
def _():
    for permission in list(S["model"].permissions.list()):
        if permission.role.name != "OWNER":
            permission.delete()
    return [one.role.name for one in S["model"].permissions.list()]


@behaviour("create.tuned_model")
def _():
    operation = genai.create_tuned_model(NAME, PAIRS[:4], display_name="goes on", epoch_count=1, batch_size=4)
    result = operation.result()
    S["further"] = result.name
    return [result.base_model, result.source_model, result.state.name, operation.metadata.total_steps]


def taken(training_data, **options):
    """Return what the server has read, and leave nothing behind."""
    operation = genai.create_tuned_model(GUIDE_BASE, training_data, display_name="forms", epoch_count=1, **options)
    name = operation.metadata.tuned_model
    data = data_of(name)
    genai.delete_tuned_model(name)
    return data


@behaviour("create.forms")
def _():
    import pandas

    columns = {"text_input": [pair[0] for pair in PAIRS], "output": [pair[1] for pair in PAIRS]}
    renamed = {"question": columns["text_input"], "answer": columns["output"]}
    examples = [protos.TuningExample(text_input=text_input, output=output) for text_input, output in PAIRS]
    forms = {
        "dicts": [{"text_input": text_input, "output": output} for text_input, output in PAIRS],
        "tuples": PAIRS,
        "columns": columns,
        "data_frame": pandas.DataFrame(columns),
        "protos": examples,
        "dataset": protos.Dataset(examples=protos.TuningExamples(examples=examples)),
    }
    with tempfile.TemporaryDirectory() as folder:
        table, document = Path(folder) / "numbers.csv", Path(folder) / "numbers.json"
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([("text_input", "output"), *PAIRS])
        document.write_text(json.dumps(forms["dicts"]))
        forms |= {"csv": table, "csv_text": str(table), "json": document}
        taken_as = {form: taken(data) for form, data in forms.items()}
    return taken_as | {"other_columns": taken(renamed, input_key="question", output_key="answer")}


@behaviour("list")
def _():
    return [[model.name, model.state.name] for model in genai.list_tuned_models()]


@behaviour("list.pages")
def _():
    return [model.name for model in genai.list_tuned_models(page_size=1)]


@behaviour("cancel.operation")
def _():
    operation = genai.create_tuned_model(GUIDE_BASE, PAIRS, display_name="stops", epoch_count=5000, batch_size=4)
    for status in operation.wait_bar(disable=True):
        if status.completed_steps:
            break
    said = operation.cancel()
    error = error_of(lambda: operation.result(timeout=60))
    name = operation.metadata.tuned_model
    wait_until_done(name)
    model = genai.get_tuned_model(name)
    answer = error_of(lambda: genai.GenerativeModel(name).generate_content("1"))
    genai.delete_tuned_model(name)
    return [said, error, model.state.name, answer]


@behaviour("errors.missing")
def _():
    return {
        "get": error_of(lambda: genai.get_tuned_model("tunedModels/missing")),
        "update": error_of(lambda: genai.update_tuned_model("tunedModels/missing", {"description": "x"})),
        "delete": error_of(lambda: genai.delete_tuned_model("tunedModels/missing")),
        "generate": error_of(lambda: genai.GenerativeModel("models/missing").generate_content("1")),
        "generate_tuned": error_of(lambda: genai.GenerativeModel("tunedModels/missing").generate_content("1")),
        "operation": error_of(lambda: genai.get_operation(NAME + "/operations/missing")),
        "base": error_of(lambda: genai.create_tuned_model("models/missing", PAIRS, id="no-base")),
    }


@behaviour("errors.create")
def _():
    def create(training_data=PAIRS, **options):
        return error_of(lambda: genai.create_tuned_model(GUIDE_BASE, training_data, **options))

    return {
        "taken": create(id=ID),
        "id": create(id="Not-An-Id"),
        "nameless": create(),
        "empty": create([], id="empty"),
        "blank": create([*PAIRS[:2], ("", "x")], id="blank"),
        "long": create([("x", "y" * 5001)], id="long"),
        "large": create([("x" * 39_000, "y")] * 120, id="large"),
        "epochs": create(id="epochs", epoch_count=-1),
        "temperature": create(id="hot", temperature=5.0),
    }


@behaviour("errors.nothing_left")
def _():
    names = ("no-base", "empty", "blank", "long", "large", "epochs", "hot", "too-early")
    return [model.name for model in genai.list_tuned_models() if model.name.partition("/")[2] in names]


@behaviour("errors.generate")
def _():
    model = genai.GenerativeModel(NAME)
    return {
        "temperature": error_of(lambda: model.generate_content("1", generation_config={"temperature": 3.0})),
        "json": error_of(lambda: model.generate_content("1", generation_config={"response_mime_type": "text/x.poem"})),
        "long": error_of(lambda: model.generate_content("1" * 41_000)),
    }


@behaviour("errors.key_only")
def _():
    sign_in(api_key=KEY)
    try:
        return {
            "create": error_of(lambda: genai.create_tuned_model(GUIDE_BASE, PAIRS, id="by-key")),
            "list": error_of(lambda: list(genai.list_tuned_models())),
            "generate": error_of(lambda: genai.GenerativeModel(NAME).generate_content("1")),
        }
    finally:
        sign_in(credentials=Credentials(TOKEN))


@behaviour("errors.credentials")
def _():
    try:
        sign_in(credentials=Credentials("nobody's"))
        token = error_of(lambda: genai.get_tuned_model(NAME))
        sign_in(api_key="nobody's")
        return {"token": token, "key": error_of(lambda: list(genai.list_models()))}
    finally:
        sign_in(credentials=Credentials(TOKEN))


@behaviour("permissions.transfer")
def _():
    genai.get_tuned_model(S["further"]).permissions.transfer_ownership("heir@example.com")
    listed = raw("/v1beta/" + S["further"] + "/permissions")["permissions"]
    return sorted([one["role"], one["emailAddress"]] for one in listed)


@behaviour("errors.not_owner")
def _():
    return error_of(lambda: genai.delete_tuned_model(S["further"]))


@behaviour("errors.delete_operation")
def _():
    return error_of(lambda: operations.delete_operation(S["operation"].name))


@behaviour("delete")
def _():
    genai.delete_tuned_model(NAME)
    return error_of(lambda: genai.get_tuned_model(NAME))


say()
