"""Which path speaks which dialect."""

import pytest

from cab.proxy.meter import dialect_for, may_cost_unmetered
from cab.proxy.meter.dialects.paths import plain_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat.completions"),
        ("/api/v1/chat/completions/", "chat.completions"),
        ("/chat/completions", "chat.completions"),
        ("/openai/deployments/x/chat/completions?api-version=2024", "chat.completions"),
        ("/v1beta/openai/chat/completions", "chat.completions"),
        ("/v1/completions", "completions"),
        ("/v1/engines/x/completions", "completions"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/fim/completions", "fim.completions"),
        ("/v1/rerank", "rerank"),
        ("/v2/rerank", "rerank"),
        ("/v1/responses", "responses"),
        ("/v1/responses/compact", "responses"),
        ("/v1/responses/input_tokens", None),
        ("/v1/messages?beta=true", "messages"),
        ("/anthropic/v1/messages", "messages"),
        ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini.generateContent"),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "gemini.generateContent"),
        ("/v1beta/models/g%3AgenerateContent", "gemini.generateContent"),
        ("/v1/projects/p/publishers/google/models/g:generateContent", "gemini.generateContent"),
        ("/v1beta/tunedModels/x:generateContent", "gemini.generateContent"),
        ("/v1/projects/p/locations/l/endpoints/1:streamGenerateContent", "gemini.generateContent"),
        ("/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "chat.completions"),
        ("/v1/projects/p/publishers/anthropic/models/claude-4@1:rawPredict", "messages"),
        ("/v1/projects/p/publishers/anthropic/models/claude-4@1:streamRawPredict", "messages"),
        ("/v1/projects/p/publishers/anthropic/models/count-tokens:rawPredict", None),
        ("/v1/audio/transcriptions", "audio.transcriptions"),
        ("/openai/deployments/x/audio/translations?api-version=2024", "audio.translations"),
        ("/v1/audio/speech", "audio.speech"),
        ("/v1/images/generations", "images.generations"),
        ("/v1/images/edits", "images.edits"),
        ("/v1/images/variations", "images.variations"),
        ("/v1/audio/voices", None),
        ("/v1/projects/p/publishers/mistralai/models/mi:rawPredict", "chat.completions"),
        ("/v1/projects/p/locations/l/endpoints/9:streamRawPredict", "chat.completions"),
        ("/v1/messages/count_tokens", None),
        ("/v1/messages/batches", None),
        ("/v1/threads/thread_1/messages", None),
        ("/v1/responses/resp_1", None),
        ("/v1/responses/resp_1/cancel", None),
        ("/v1/chat/completions/chatcmpl-1", None),
        ("/v1/models", None),
        ("/v1/models/m", None),
        ("/v1beta/models/g:countTokens", None),
        ("/v1beta/models/g:embedContent", None),
        ("/v1/mychat-completions", None),
        ("/", None),
        ("", None),
    ],
)
def test_paths_have_their_dialects(path: str, name: str | None) -> None:
    """A POST is routed by the end of its path; anything else is not a model call."""
    dialect = dialect_for("POST", path)
    assert (None if dialect is None else dialect.name) == name


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT"])
def test_only_a_post_is_a_model_call(method: str) -> None:
    """Polls and probes of a metered path add nothing."""
    assert dialect_for(method, "/v1/chat/completions") is None
    assert dialect_for("post", "/v1/chat/completions") is not None


def test_paths_are_compared_plain() -> None:
    """Query, percent-encoding and trailing slashes do not matter."""
    assert plain_path("/v1/a%20b//?x=/y/") == "/v1/a b"


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("POST", "/v1/audio/speech", True),
        ("POST", "/v1/audio/transcriptions", True),
        ("POST", "/v1/images/generations", True),
        ("POST", "/v1/batches", True),
        ("POST", "/v1beta/models/g:embedContent", True),
        ("post", "/unknown?x=/files", True),
        ("POST", "/v1/messages/count_tokens?beta=true", False),
        ("POST", "/v1/responses/input_tokens", False),
        ("POST", "/v1beta/models/g:countTokens", False),
        ("POST", "/v1/p/publishers/anthropic/models/count-tokens:rawPredict", False),
        ("POST", "/tokenize", False),
        ("POST", "/v1/files", False),
        ("POST", "/v1/responses/r/cancel", False),
        ("POST", "/api/event_logging/batch", False),
        ("GET", "/v1/models", False),
        ("DELETE", "/v1/audio/speech", False),
    ],
)
def test_what_is_not_metered_may_cost(method: str, path: str, may: bool) -> None:
    """A POST makes the endpoint work, unless its path is known to cost no tokens."""
    assert may_cost_unmetered(method, path) is may
