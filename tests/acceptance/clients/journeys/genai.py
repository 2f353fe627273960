"""google-genai, before and after its version 1.47, which began to drop the examples of a tuning job."""

import asyncio
import time

from google import genai
from google.genai import types
from record import GUIDE_BASE, KEY, PAIRS, TOKEN, URL, Cannot, behaviour, data_of, error_of, raw, say, wait_until_done

VERSION = genai.__version__
DROPS_EXAMPLES = tuple(map(int, VERSION.split(".")[:2])) >= (1, 47)
EXAMPLES = [{"textInput": text_input, "output": output} for text_input, output in PAIRS]
S = {}


def client(key=KEY, token=TOKEN):
    headers = {"Authorization": "Bearer " + token} if token else {}
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=URL, headers=headers))


C = client()


def tune(name, examples=PAIRS, **config):
    dataset = types.TuningDataset(
        examples=[types.TuningExample(text_input=text_input, output=output) for text_input, output in examples]
    )
    if DROPS_EXAMPLES:
        dataset = types.TuningDataset(examples=[])
        body = [{"textInput": text_input, "output": output} for text_input, output in examples]
        extra = {"tuningTask": {"trainingData": {"examples": {"examples": body}}}}
        config["http_options"] = types.HttpOptions(extra_body=extra)
    options = types.CreateTuningJobConfig(tuned_model_display_name=name, **config)
    return C.tunings.tune(base_model=GUIDE_BASE, training_dataset=dataset, config=options)


def wait(name):
    states = []
    give_up = time.monotonic() + 300
    while True:
        job = C.tunings.get(name=name)
        states.append(job.state.name)
        if job.has_ended or time.monotonic() > give_up:
            return job, states
        time.sleep(0.2)


@behaviour("models.list")
def _():
    return [[model.name, model.supported_actions] for model in C.models.list()]


@behaviour("models.get")
def _():
    model = C.models.get(model=GUIDE_BASE)
    return [model.name, model.input_token_limit, model.version, model.display_name]


@behaviour("create.dicts")
def _():
    def direct():
        dataset = types.TuningDataset(examples=[types.TuningExample(text_input=a, output=b) for a, b in PAIRS])
        config = types.CreateTuningJobConfig(
            tuned_model_display_name="numbers of genai", epoch_count=5, batch_size=2, learning_rate=0.001
        )
        return C.tunings.tune(base_model=GUIDE_BASE, training_dataset=dataset, config=config)

    if DROPS_EXAMPLES:
        S["dropped"] = error_of(direct)
        raise Cannot("the client drops the examples; `extra_body` sends them")
    S["job"] = direct()
    return [S["job"].name, S["job"].state.name, data_of(S["job"].name)]


if DROPS_EXAMPLES:

    @behaviour("errors.dropped")
    def _():
        return S["dropped"]

    @behaviour("create.extra_body")
    def _():
        S["job"] = tune("numbers of genai", epoch_count=5, batch_size=2, learning_rate=0.001)
        return [S["job"].name, S["job"].state.name, data_of(S["job"].name)]


@behaviour("progress.state")
def _():
    job, states = wait(S["job"].name)
    S["name"] = job.tuned_model.model
    return [states[0], states[-1], S["name"], job.base_model, job.create_time.tzinfo is not None]


@behaviour("snapshots")
def _():
    raise Cannot("its tuning job has no snapshots; read them from the model over HTTP")


@behaviour("generate.text")
def _():
    reply = C.models.generate_content(model=S["name"], contents="seven")
    usage = reply.usage_metadata
    counts = [usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count]
    S["whole"] = reply.text
    return {"text": reply.text, "finish": reply.candidates[0].finish_reason.name, "counts": counts}


@behaviour("generate.settings")
def _():
    config = types.GenerateContentConfig(
        temperature=0.7,
        top_p=0.9,
        top_k=20,
        seed=3,
        candidate_count=2,
        max_output_tokens=3,
        stop_sequences=["never"],
        safety_settings=[
            types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE"),
        ],
        response_logprobs=True,
        logprobs=2,
    )
    found = []
    for candidate in C.models.generate_content(model=S["name"], contents="seven", config=config).candidates:
        told = candidate.logprobs_result
        logs = [token.log_probability for token in told.chosen_candidates]
        tops = [len(top.candidates) for top in told.top_candidates]
        found.append([candidate.finish_reason.name, candidate.avg_logprobs, logs, tops])
    return found


@behaviour("generate.stream")
def _():
    pieces = [chunk.text for chunk in C.models.generate_content_stream(model=S["name"], contents="seven")]
    return [len(pieces), "".join(pieces) == S["whole"]]


@behaviour("generate.async")
def _():
    async def ask():
        reply = await C.aio.models.generate_content(model=S["name"], contents="seven")
        stream = await C.aio.models.generate_content_stream(model=S["name"], contents="seven")
        return [reply.text, "".join([chunk.text async for chunk in stream])]

    return [text == S["whole"] for text in asyncio.run(ask())]


@behaviour("generate.system")
def _():
    config = types.GenerateContentConfig(system_instruction="Count.", max_output_tokens=2)
    return C.models.generate_content(model=S["name"], contents="seven", config=config).candidates[0].finish_reason.name


@behaviour("count_tokens")
def _():
    return [C.models.count_tokens(model=name, contents="one two").total_tokens for name in (S["name"], GUIDE_BASE)]


@behaviour("update")
def _():
    config = types.UpdateModelConfig(display_name="renamed", description="by genai")
    changed = C.models.update(model=S["name"], config=config)
    return [changed.name, changed.display_name, changed.description, raw("/v1beta/" + S["name"])["state"]]


@behaviour("list")
def _():
    return [model.name for model in C.models.list(config={"query_base": False})]


@behaviour("list.pages")
def _():
    pager = C.models.list(config={"query_base": False, "page_size": 1})
    return [len(pager.page), [model.name for model in pager]]


@behaviour("list.jobs")
def _():
    try:
        return [job.name for job in C.tunings.list()]
    except ValueError as error:
        raise Cannot("tunings.list is refused by the client") from error


@behaviour("cancel")
def _():
    job = tune("stops", epoch_count=5000)
    give_up = time.monotonic() + 60
    while not raw("/v1beta/" + job.name)["tuningTask"].get("snapshots") and time.monotonic() < give_up:
        time.sleep(0.1)
    C.tunings.cancel(name=job.name)
    wait_until_done(job.name)
    state = C.tunings.get(name=job.name).state.name
    again = C.tunings.cancel(name=job.name)
    C.models.delete(model=job.name)
    return [state, again is None or type(again).__name__]


@behaviour("errors.missing")
def _():
    return {
        "get": error_of(lambda: C.tunings.get(name="tunedModels/missing")),
        "delete": error_of(lambda: C.models.delete(model="tunedModels/missing")),
        "generate": error_of(lambda: C.models.generate_content(model="tunedModels/missing", contents="1")),
        "generate_base": error_of(lambda: C.models.generate_content(model="missing", contents="1")),
        "stream": error_of(lambda: list(C.models.generate_content_stream(model="tunedModels/missing", contents="1"))),
    }


@behaviour("errors.create")
def _():
    return {
        "empty": error_of(lambda: tune("empty", [])),
        "blank": error_of(lambda: tune("blank", [("", "x")])),
        "epochs": error_of(lambda: tune("epochs", epoch_count=-1)),
        "large": error_of(lambda: tune("large", [("x" * 39_000, "y")] * 120)),
    }


@behaviour("errors.not_active")
def _():
    job = tune("waits", epoch_count=5000)
    error = error_of(lambda: C.models.generate_content(model=job.name, contents="1"))
    C.models.delete(model=job.name)
    return error


@behaviour("errors.key_only")
def _():
    anonymous = client(token=None)
    dataset = types.TuningDataset(examples=[types.TuningExample(text_input="1", output="2")])
    return {
        "create": error_of(lambda: anonymous.tunings.tune(base_model=GUIDE_BASE, training_dataset=dataset)),
        "get": error_of(lambda: anonymous.tunings.get(name=S["name"])),
        "generate": error_of(lambda: anonymous.models.generate_content(model=S["name"], contents="1")),
    }


@behaviour("errors.credentials")
def _():
    nobody, stranger = client(token="nobody's"), client(key="nobody's", token=None)
    return {
        "token": error_of(lambda: nobody.tunings.get(name=S["name"])),
        "key": error_of(lambda: list(stranger.models.list())),
    }


@behaviour("delete")
def _():
    C.models.delete(model=S["name"])
    return error_of(lambda: C.tunings.get(name=S["name"]))


say()
