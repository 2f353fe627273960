"""langchain-google-genai on a tuned model: ask, stream, ask asynchronously, count."""

import asyncio

from langchain_google_genai import ChatGoogleGenerativeAI
from record import GUIDE_BASE, KEY, PAIRS, TOKEN, URL, behaviour, error_of, raw, say, wait_until_done

examples = [{"textInput": text_input, "output": output} for text_input, output in PAIRS]
task = {"trainingData": {"examples": {"examples": examples}}, "hyperparameters": {"epochCount": 1}}
body = {"displayName": "for langchain", "baseModel": GUIDE_BASE, "tuningTask": task}
NAME = raw("/v1beta/tunedModels", "POST", body)["metadata"]["tunedModel"]
wait_until_done(NAME)


def chat(model=NAME, token=TOKEN, **options):
    headers = {"Authorization": "Bearer " + token} if token else None
    return ChatGoogleGenerativeAI(
        model=model, google_api_key=KEY, base_url=URL, additional_headers=headers, max_retries=1, **options
    )


C = chat(temperature=0.0)
S = {}


@behaviour("generate.text")
def _():
    reply = C.invoke("seven")
    S["whole"] = reply.content
    return {"text": reply.content, "tokens": reply.usage_metadata["output_tokens"], "kind": type(reply).__name__}


@behaviour("generate.stream")
def _():
    pieces = [chunk.content for chunk in C.stream("seven")]
    return [len(pieces), "".join(pieces) == S["whole"]]


@behaviour("generate.async")
def _():
    return asyncio.run(C.ainvoke("seven")).content == S["whole"]


@behaviour("generate.system")
def _():
    return type(C.invoke([("system", "Count."), ("human", "seven")])).__name__


@behaviour("count_tokens")
def _():
    return C.get_num_tokens("one two")


@behaviour("errors.missing")
def _():
    return error_of(lambda: chat("tunedModels/missing").invoke("1"))


@behaviour("errors.key_only")
def _():
    return error_of(lambda: chat(token=None).invoke("1"))


@behaviour("errors.credentials")
def _():
    return error_of(lambda: chat(token="nobody's").invoke("1"))


raw("/v1beta/" + NAME, "DELETE")
say()
