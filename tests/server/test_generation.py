"""generateContent, streamGenerateContent, countTokens: what may come in and what goes out, with a real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live import BASE, TUNED, Live
from tests.server.api import error_of

TARGETS = [f"tunedModels/{TUNED}", f"models/{BASE}", "models/gemini-1.5-flash-001-tuning"]
CASES = Path(__file__).parents[1] / "fixtures/cases"
GREEDY = {"maxOutputTokens": 12, "temperature": 0}


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def ask(
    client: httpx2.Client, body: Any, verb: str = "generateContent", target: str = TARGETS[0], **query: Any
) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/v1beta/{target}:{verb}", content=content, params=query)


def said(text: str = "7", **config: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": {**GREEDY, **config}}


def text_of(reply: httpx2.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["candidates"][0]["content"]["parts"][0]["text"])


@pytest.mark.parametrize("target", TARGETS)
def test_a_whole_answer(client: httpx2.Client, target: str) -> None:
    """Parts with a text, the role, a reason that clients know, the index, and counts that add up."""
    reply = ask(client, said(), target=target).json()

    (candidate,) = reply["candidates"]
    assert set(candidate["content"]) == {"parts", "role"}
    assert candidate["safetyRatings"] == []
    assert candidate["content"]["role"] == "model"
    assert (candidate["finishReason"], candidate["index"]) == ("MAX_TOKENS", 0)
    usage = reply["usageMetadata"]
    assert usage["candidatesTokenCount"] == 12
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + 12
    assert reply["modelVersion"] == target.removeprefix("models/")


@pytest.mark.parametrize(
    "contents",
    [
        [{"parts": [{"text": "seven"}]}],
        {"parts": {"text": "seven"}},
        {"role": "user", "parts": [{"text": "sev"}, {"text": "en"}]},
        [{"role": "", "parts": [{"text": "seven"}]}],
    ],
)
def test_contents_in_every_form(client: httpx2.Client, contents: Any) -> None:
    """One object where a list is meant, parts that are joined without a separator, no role: one answer."""
    assert text_of(ask(client, {"contents": contents, "generationConfig": GREEDY})) == text_of(
        ask(client, said("seven"))
    )


@pytest.mark.parametrize(
    "extra",
    [
        {"safetySettings": [{"category": 7, "threshold": 4}]},
        {"safety_settings": [{"category": "HARM_CATEGORY_DEROGATORY", "threshold": "BLOCK_NONE"}]},
        {"safetySettings": []},
        {"generation_config": {"max_output_tokens": 12, "temperature": 0, "thinkingConfig": {"thinkingBudget": 0}}},
        {
            "generationConfig": {
                **GREEDY,
                "responseLogprobs": False,
                "speechConfig": {},
                "responseModalities": ["TEXT"],
                "responseMimeType": "text/plain",
            }
        },
        {"somethingNew": {"a": 1}, "model": "models/else", "tools": [], "labels": {"a": "b"}},
        {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}, "cachedContent": ""},
    ],
)
def test_what_has_no_effect_is_taken(client: httpx2.Client, extra: dict[str, Any]) -> None:
    """Safety settings as names and numbers, new settings, empty tools: the answer is the same."""
    assert text_of(ask(client, said() | extra)) == text_of(ask(client, said()))


def test_trailing_commas_are_read(client: httpx2.Client) -> None:
    """As in a creation."""
    body = b'{"contents":[{"parts":[{"text":"7",},],},],"generationConfig":{"maxOutputTokens":12,"temperature":0,},}'

    assert text_of(ask(client, body)) == text_of(ask(client, said()))


@pytest.mark.parametrize("target", TARGETS[:2])
def test_log_probabilities(client: httpx2.Client, target: str) -> None:
    """Of each token and the likeliest ones in its place, with sum and mean; a stream has the same, chunk by chunk."""
    config = {"responseLogprobs": True, "logprobs": 4}
    (whole,) = ask(client, said(**config), target=target).json()["candidates"]
    chunks = [each["candidates"][0] for each in ask(client, said(**config), "streamGenerateContent", target).json()]
    plain = ask(client, said(), target=target).json()["candidates"][0]
    bare = ask(client, said(responseLogprobs=True), target=target).json()["candidates"][0]["logprobsResult"]

    result = whole["logprobsResult"]
    chosen, tops = result["chosenCandidates"], [each["candidates"] for each in result["topCandidates"]]
    logs = [each["logProbability"] for each in chosen]
    assert (len(chosen), {len(top) for top in tops}) == (12, {4})
    assert [top[0] for top in tops] == chosen  # greedy: the likeliest was taken
    assert all(top == sorted(top, key=lambda each: -each["logProbability"]) for top in tops)
    assert all(log < 0 for log in logs)
    assert result["logProbabilitySum"] == pytest.approx(sum(logs))
    assert whole["avgLogprobs"] == pytest.approx(sum(logs) / 12)
    streamed = [token for chunk in chunks for token in chunk.get("logprobsResult", {}).get("chosenCandidates", [])]
    assert [each["tokenId"] for each in streamed] == [each["tokenId"] for each in chosen]
    assert [chunk["avgLogprobs"] for chunk in chunks if "avgLogprobs" in chunk] == [pytest.approx(sum(logs) / 12)]
    assert set(whole) - set(plain) == {"avgLogprobs", "logprobsResult"}
    assert "topCandidates" not in bare
    assert bare["chosenCandidates"] == chosen


def test_a_label_has_log_probabilities(client: httpx2.Client) -> None:
    """Those of the model, which would rather say something else; the text stays the label."""
    form = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["cat", "zebra"]}}
    (found,) = ask(client, said(responseLogprobs=True, logprobs=1, **form)).json()["candidates"]

    label = text_of(ask(client, said(**form)))
    result = found["logprobsResult"]
    assert found["content"]["parts"] == [{"text": label}]
    assert "".join(each["token"] for each in result["chosenCandidates"]) == label
    assert result["topCandidates"][0]["candidates"][0]["tokenId"] != result["chosenCandidates"][0]["tokenId"]
    assert set(found["labelProbabilities"]) == {"cat", "zebra"}


def test_candidates(client: httpx2.Client) -> None:
    """Each of eight has its index and its own draw; equal seeds draw equal answers."""
    body = said(candidateCount=8, temperature=1.5, seed=7)

    first, second = (ask(client, body).json()["candidates"] for _ in range(2))

    texts = [candidate["content"]["parts"][0]["text"] for candidate in first]
    assert [candidate["index"] for candidate in first] == list(range(8))
    assert len(set(texts)) > 1
    assert texts == [candidate["content"]["parts"][0]["text"] for candidate in second]


def test_a_stop_text_is_cut_off(client: httpx2.Client) -> None:
    """The answer ends before it, with reason STOP."""
    whole = text_of(ask(client, said()))
    stop = whole[2:4]

    reply = ask(client, said(stopSequences=[stop]))
    assert text_of(reply) == whole[: whole.index(stop)]
    assert reply.json()["candidates"][0]["finishReason"] == "STOP"


def test_an_empty_answer_has_an_empty_part(client: httpx2.Client) -> None:
    """Without parts the clients' `.text` would raise."""
    whole = text_of(ask(client, said()))

    candidate = ask(client, said(stopSequences=[whole[:1]])).json()["candidates"][0]
    assert candidate["content"]["parts"] == [{"text": ""}]
    assert candidate["finishReason"] == "STOP"


def test_a_system_instruction_counts(client: httpx2.Client) -> None:
    """As a content or as a text it goes into the prompt."""
    plain = ask(client, said()).json()["usageMetadata"]["promptTokenCount"]

    for instruction in ({"parts": [{"text": "Count on."}]}, {"parts": {"text": "Count on."}}, "Count on."):
        reply = ask(client, said() | {"systemInstruction": instruction})
        assert reply.status_code == 200, reply.text
        assert reply.json()["usageMetadata"]["promptTokenCount"] > plain


@pytest.mark.parametrize("system", [{"parts": []}, {"parts": [{"text": ""}]}, {}, ""])
def test_an_empty_system_instruction_is_none(client: httpx2.Client, system: Any) -> None:
    """As OpenAI's clients send it, and guides that leave the field of a form empty."""
    reply = ask(client, said() | {"systemInstruction": system})

    assert text_of(reply) == text_of(ask(client, said()))


def test_a_question_without_a_limit_may_fill_the_window(client: httpx2.Client) -> None:
    """The default is the entry's `outputTokenLimit`, as far as the window has room beside the prompt."""
    entry = client.get(f"/v1beta/models/{BASE}").json()
    body = {"contents": said()["contents"], "generationConfig": {"temperature": 0}}

    reply = ask(client, body, target=f"models/{BASE}").json()

    assert reply["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert reply["usageMetadata"]["totalTokenCount"] == entry["outputTokenLimit"]


def test_high_temperatures_draw_from_the_likeliest(client: httpx2.Client) -> None:
    """Without topP and topK, those of the model's entry hold."""
    target = f"models/{BASE}"
    entry = client.get(f"/v1beta/{target}").json()
    chosen = {name: entry[name] for name in ("topP", "topK")}

    texts = [text_of(ask(client, said(temperature=1.9, seed=3, **given), target=target)) for given in ({}, chosen)]

    assert texts[0] == texts[1]
    assert texts[0] != text_of(ask(client, said(temperature=1.9, seed=3, topP=1, topK=0), target=target))


def test_thoughts_of_a_history_are_left_out(client: httpx2.Client) -> None:
    """Parts that are thoughts, and signatures of parts, change nothing."""
    question = {"role": "user", "parts": [{"text": "1"}]}
    answers = (
        [{"text": "A number. ", "thought": True}, {"text": "2", "thoughtSignature": "c2ln"}],
        [{"text": "2"}],
    )
    texts = [
        text_of(ask(client, {"contents": [question, {"role": "model", "parts": parts}, question]})) for parts in answers
    ]

    assert texts[0] == texts[1]


@pytest.mark.parametrize("file", ["gemini.json", "gemini-no-parts.json"])
def test_an_empty_answer_is_taken_back(client: httpx2.Client, file: str) -> None:
    """A chat whose last answer was empty goes on."""
    assert text_of(ask(client, (CASES / "14-empty-turn" / file).read_bytes()))


def test_settings_of_ai_studio(client: httpx2.Client) -> None:
    """As its "Get code" writes them; more output tokens than the window has are cut down."""
    reply = ask(client, (CASES / "41-aistudio-settings/gemini.json").read_bytes())

    assert text_of(reply)


def test_a_conversation(client: httpx2.Client) -> None:
    """Turns of user and model are read in their order."""
    turns = [{"role": role, "parts": [{"text": text}]} for role, text in (("user", "1"), ("model", "2"), ("user", "7"))]

    reply = ask(client, {"contents": turns, "generationConfig": GREEDY})
    counts = ask(client, said()).json()["usageMetadata"]["promptTokenCount"]
    assert reply.json()["usageMetadata"]["promptTokenCount"] > counts


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"generationConfig": {"temperature": 2.1}}, "temperature"),
    ({"generationConfig": {"temperature": -1}}, "temperature"),
    ({"generationConfig": {"temperature": "NaN"}}, "temperature"),
    ({"generationConfig": {"topP": 1.1}}, "top_p"),
    ({"generationConfig": {"topP": -0.1}}, "top_p"),
    ({"generationConfig": {"topK": -1}}, "top_k"),
    ({"generationConfig": {"topK": 10**30}}, "topK"),
    ({"generationConfig": {"seed": 10**30}}, "seed"),
    ({"generationConfig": {"presencePenalty": 3}}, "presence_penalty"),
    ({"generationConfig": {"frequencyPenalty": -3}}, "frequency_penalty"),
    ({"generationConfig": {"candidateCount": 0}}, "candidateCount"),
    ({"generationConfig": {"candidateCount": 9}}, "candidateCount"),
    ({"generationConfig": {"maxOutputTokens": 0}}, "max_output_tokens"),
    ({"generationConfig": {"maxOutputTokens": 10**30}}, "maxOutputTokens"),
    ({"generationConfig": {"stopSequences": list("abcdef")}}, "stop"),
    ({"generationConfig": {"responseMimeType": "image/png"}}, "responseMimeType must be"),
    ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "responseSchema needs responseMimeType"),
    ({"generationConfig": {"responseMimeType": "application/json", "responseSchema": 7}}, "must be an object"),
    ({"tools": [{"codeExecution": {}}]}, "tools are not supported"),
    ({"cachedContent": "cachedContents/x"}, "cachedContent"),
    ({"contents": []}, "contents is empty"),
    ({"contents": [{"parts": []}]}, "contents[0] has no text"),
    ({"contents": [{"role": "robot", "parts": [{"text": "x"}]}]}, "valid role"),
    ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}]}, "only text"),
    ({"contents": [{"parts": [{"text": "x"}, {"fileData": {"fileUri": "x"}}]}]}, "contents[0].parts[1]"),
    ({"contents": [{"parts": [{"text": "x" * 40_001}]}]}, "40,000"),
    ({"contents": "x"}, "contents"),
    ({"generationConfig": {"responseModalities": ["IMAGE"]}}, "responseModalities: only TEXT is supported, not IMAGE"),
    ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, "responseModalities"),
    ({"generationConfig": {"response_modalities": [3]}}, "responseModalities"),
    ({"generationConfig": {"responseModalities": "AUDIO"}}, "not AUDIO"),
    ({"generationConfig": {"speechConfig": {"voiceConfig": {}}}}, "generationConfig.speechConfig is not supported"),
    ({"generationConfig": {"imageConfig": {"aspectRatio": "1:1"}}}, "generationConfig.imageConfig"),
    ({"generationConfig": {"logprobs": 3}}, "logprobs needs generationConfig.responseLogprobs"),
    ({"generationConfig": {"responseLogprobs": True, "logprobs": 21}}, "logprobs must be between 0 and 20, not 21"),
    ({"generationConfig": {"responseLogprobs": True, "logprobs": "many"}}, "logprobs"),
    ({"contents": [{"parts": [{"executableCode": {"code": "1"}}]}]}, "contents[0].parts[0] has executableCode"),
    ({"contents": [{"parts": [{"text": "x"}, {"some_thing": {}}]}]}, "contents[0].parts[1] has some_thing"),
    ({"systemInstruction": {"parts": [{"inlineData": {}}]}}, "systemInstruction.parts[0] has inlineData"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent"])
def test_a_question_is_refused(client: httpx2.Client, verb: str, changes: dict[str, Any], words: str) -> None:
    """What is out of range or cannot be done is 400 with its name, before a stream begins too."""
    error = error_of(ask(client, said() | changes, verb, alt="sse"))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["message"]


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent", "countTokens", "generateText"])
def test_what_is_missing(client: httpx2.Client, verb: str) -> None:
    """Base and tuned models have different messages; that of the base names the method."""
    body = said() | {"prompt": {"text": "x"}}

    tuned = error_of(ask(client, body, verb, "tunedModels/missing"))
    base = error_of(ask(client, body, verb, "models/missing"))

    assert (tuned["code"], tuned["message"]) == (404, "Tuned model tunedModels/missing does not exist.")
    assert (base["code"], base["status"]) == (404, "NOT_FOUND")
    assert base["message"].startswith(
        f"models/missing is not found for API version v1beta, or is not supported for {verb}. Call ListModels"
    )
    assert f"Bases here: smollm2-135m-instruct, {BASE}." in base["message"]


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent", "countTokens", "generateText"])
@pytest.mark.parametrize("target", ["models/gemini-2.5-flash", "models/gemma-3-1b-it", f"tunedModels/{TUNED}"])
def test_a_header_says_which_base_answered(client: httpx2.Client, verb: str, target: str) -> None:
    """Names that Google has given stand for the default base, whichever method is called."""
    reply = ask(client, said() | {"prompt": {"text": "x"}, "maxOutputTokens": 3}, verb, target)

    assert reply.status_code == 200, reply.text
    assert reply.headers["x-tunery-base-model"] == BASE


# streams


def events_of(reply: httpx2.Response) -> list[dict[str, Any]]:
    """Return the chunks of server-sent events; their format is checked."""
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, end = reply.content.split(b"\r\n\r\n")
    assert end == b""
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in events)
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def elements_of(reply: httpx2.Response) -> list[dict[str, Any]]:
    """Return the chunks of a streamed array; its format is checked."""
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"
    assert reply.content.startswith(b"[{")
    assert reply.content.endswith(b"}]")
    return list(json.loads(reply.content))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("is_events", [True, False])
def test_a_stream_is_the_whole_answer_in_pieces(client: httpx2.Client, target: str, is_events: bool) -> None:
    """Several chunks, the reason in the last one only, counts in the last one, the text that of the whole answer."""
    body = said(maxOutputTokens=40)

    reply = ask(client, body, "streamGenerateContent", target, **({"alt": "sse"} if is_events else {}))
    chunks = events_of(reply) if is_events else elements_of(reply)

    candidates = [chunk["candidates"][0] for chunk in chunks]
    assert len(chunks) > 1
    assert "".join(candidate["content"]["parts"][0]["text"] for candidate in candidates) == text_of(
        ask(client, body, target=target)
    )
    assert ["finishReason" in candidate for candidate in candidates] == [False] * (len(chunks) - 1) + [True]
    assert candidates[-1]["finishReason"] == "MAX_TOKENS"
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == 40
    assert all(candidate["index"] == 0 for candidate in candidates)


def test_a_streamed_empty_answer_has_one_chunk(client: httpx2.Client) -> None:
    """At least one chunk always: an empty array is fatal to the old client."""
    stop = text_of(ask(client, said()))[:1]

    chunks = elements_of(ask(client, said(stopSequences=[stop]), "streamGenerateContent"))
    assert [chunk["candidates"][0]["content"]["parts"] for chunk in chunks] == [[{"text": ""}]]


def test_streamed_candidates(client: httpx2.Client) -> None:
    """Chunks of several answers carry their index; each answer ends once."""
    chunks = events_of(ask(client, said(candidateCount=3, seed=1, temperature=1), "streamGenerateContent", alt="sse"))

    ends = [c["index"] for chunk in chunks for c in chunk["candidates"] if "finishReason" in c]
    assert sorted(ends) == [0, 1, 2]


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_errors_before_the_first_chunk_are_plain_replies(client: httpx2.Client, alt: str) -> None:
    """A status and an object, not a stream and not a list around the object."""
    error = error_of(ask(client, said(), "streamGenerateContent", "tunedModels/missing", alt=alt))

    assert error["code"] == 404


# counts


@pytest.mark.parametrize("target", TARGETS)
def test_tokens_are_counted_as_they_are_read(client: httpx2.Client, target: str) -> None:
    """Both shapes of the request give the prompt tokens of the answer, on tuned models too."""
    wanted = ask(client, said(), target=target).json()["usageMetadata"]["promptTokenCount"]

    plain = ask(client, {"contents": said()["contents"]}, "countTokens", target)
    wrapped = ask(client, {"generateContentRequest": {"model": target, **said()}}, "countTokens", target)

    assert plain.json() == {"totalTokens": wanted}
    assert wrapped.json() == {"totalTokens": wanted}


def test_nothing_cannot_be_counted(client: httpx2.Client) -> None:
    """No contents is 400."""
    assert error_of(ask(client, {}, "countTokens"))["code"] == 400


# who may ask


def test_a_key_asks_bases_and_not_tuned_models(live: Live) -> None:
    """403 with the original's sentence, unless everyone may use the model."""
    with httpx2.Client(base_url=live.address, headers={"x-goog-api-key": live.key}, trust_env=False) as keyed:
        assert ask(keyed, said(), target=TARGETS[1]).status_code == 200
        error = error_of(ask(keyed, said()))

    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    assert error["message"].startswith(f"You do not have permission to access tuned model tunedModels/{TUNED}.")


def test_a_token_decides_beside_a_key(live: Live) -> None:
    """Clients that cannot be built without a key send both: the key is not looked at."""
    headers = {"Authorization": f"bearer {live.token}", "x-goog-api-key": "unused"}
    with httpx2.Client(base_url=live.address, headers=headers, trust_env=False, timeout=60) as both:
        assert ask(both, said()).status_code == 200
