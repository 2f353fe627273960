"""A server whose answers come from a vLLM server: tuned here, loaded there, asked through Google's and OpenAI's API."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live import make_home, serving
from tests.service.vllm_double import Double, listening
from tunery.engine.encoding import Encoder
from tunery.engine.tokenizer import Tokenizer
from tunery.service import vllm
from tunery.service.vllm import EngineAddress


def test_a_model_tuned_here_is_answered_there(tmp_path: Path) -> None:
    """The engine gets the adapter under its digest; both APIs stream what it says, and tokens are counted here."""
    home = make_home(tmp_path)
    encoder = Encoder(Tokenizer.read(tmp_path / "base"), 512)
    with listening(Double(encoder)) as double:
        double.answer = lambda path, *_: (encoder.tokenizer.encode("tuned" if path else "base"), "stop")
        with serving(home, engines=(EngineAddress(double.url),), evaluates=False) as live, live.client() as client:
            live.tune(client, "numbers")
            said = {"contents": [{"parts": [{"text": "7"}]}]}
            chat = {"model": "tunedModels/numbers", "messages": [{"role": "user", "content": "7"}]}

            tuned = client.post("/v1beta/tunedModels/numbers:generateContent", json=said).json()
            base = client.post("/v1beta/models/tiny:generateContent", json=said).json()
            openai = client.post("/openai/v1/chat/completions", json=chat).json()
            counted = client.post("/v1beta/models/tiny:countTokens", json=said).json()

    [path] = double.adapters.values()
    assert (Path(path) / "adapter_model.safetensors").is_file()
    texts = [reply["candidates"][0]["content"]["parts"][0]["text"] for reply in (tuned, base)]
    assert [*texts, openai["choices"][0]["message"]["content"]] == ["tuned", "base", "tuned"]
    assert counted["totalTokens"] == len(encoder.prompt("7")) == tuned["usageMetadata"]["promptTokenCount"]


def test_a_server_without_an_engine_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could answer nothing, so others should get the requests; it is ready once an engine is there."""
    monkeypatch.setattr(vllm, "REACH_SECONDS", 0.0)
    home = make_home(tmp_path)
    double = Double(Encoder(Tokenizer.read(tmp_path / "base"), 512))
    with listening(double):
        engines = (EngineAddress(double.url), EngineAddress("http://127.0.0.1:9"))
        with serving(home, engines=engines, evaluates=False) as live, live.client() as client:
            ready = client.get("/readyz")
            double.app.routes.clear()  # what stands for an engine that only a proxy is left of
            lost = client.get("/readyz")

    assert (ready.status_code, ready.json()["answering"]) == (200, True)
    assert (lost.status_code, lost.json()["status"], lost.json()["answering"]) == (503, "not ready", False)
    assert lost.json()["database"] is True
