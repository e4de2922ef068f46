"""The route table: which path speaks which dialect."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from cab.proxy.meter.dialects import audio, messages, responses
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.dialects.chat import ChatAnswer
from cab.proxy.meter.dialects.completions import CompletionsAnswer
from cab.proxy.meter.dialects.embeddings import EmbeddingsAnswer
from cab.proxy.meter.dialects.gemini import GeminiAnswer
from cab.proxy.meter.dialects.images import ImagesAnswer
from cab.proxy.meter.dialects.lookups import COUNTING
from cab.proxy.meter.dialects.ordinary import (
    ReadOrdinary,
    chat_body,
    messages_body,
    responses_body,
)
from cab.proxy.meter.dialects.paths import google_method, plain_path
from cab.proxy.meter.dialects.rerank import RerankAnswer
from cab.scoring.ledger.records import Endpoint


@dataclass(frozen=True)
class Dialect:
    """One way of asking for a completion."""

    name: Endpoint
    """As the record calls it."""
    answer: Callable[[int], Answer]
    """Makes an empty answer, given how many characters of text it may keep."""
    usage_on_request: bool = False
    """Whether a stream reports its usage only to clients that set `stream_options.include_usage`."""
    terminal_names: tuple[str, ...] = ()
    """Types of the events that end a stream; `data: [DONE]` ends one in every dialect."""
    takes_forms: bool = False
    """Whether a request may be a form with files rather than JSON."""
    ordinary_body: ReadOrdinary | None = None
    """Reads an ordinary answer in one piece; None where each is read by all rules."""


def _transcription(name: Endpoint) -> Dialect:
    terminal = audio.TRANSCRIBED
    return Dialect(name, audio.TranscriptionAnswer, terminal_names=terminal, takes_forms=True)


def _images(name: Endpoint) -> Dialect:
    return Dialect(name, ImagesAnswer, takes_forms=True)


_ROUTES: tuple[tuple[str, Dialect | None], ...] = (
    (
        r"/chat/completions$",
        Dialect("chat.completions", ChatAnswer, usage_on_request=True, ordinary_body=chat_body),
    ),
    # Mistral's: a prompt and a suffix, answered as a chat is. It reports usage unasked.
    (r"/fim/completions$", Dialect("fim.completions", ChatAnswer)),
    (r"/completions$", Dialect("completions", CompletionsAnswer, usage_on_request=True)),
    (r"/embeddings$", Dialect("embeddings", EmbeddingsAnswer)),
    (r"/rerank$", Dialect("rerank", RerankAnswer)),
    (
        r"/responses(/compact)?$",
        Dialect(
            "responses",
            responses.ResponsesAnswer,
            terminal_names=responses.TERMINAL,
            ordinary_body=responses_body,
        ),
    ),
    # A message of an OpenAI assistant's thread is none of Anthropic's.
    (r"/threads/[^/]+/messages$", None),
    # The last one is Vertex; its `count-tokens:rawPredict` only counts.
    (
        r"/messages$|/publishers/anthropic/models/(?!count-tokens:)[^/]+:(rawPredict|streamRawPredict)$",
        Dialect(
            "messages",
            messages.MessagesAnswer,
            terminal_names=messages.TERMINAL,
            ordinary_body=messages_body,
        ),
    ),
    (r"/audio/transcriptions$", _transcription("audio.transcriptions")),
    (r"/audio/translations$", _transcription("audio.translations")),
    (
        r"/audio/speech$",
        Dialect("audio.speech", audio.SpeechAnswer, terminal_names=audio.SPOKEN),
    ),
    (r"/images/generations$", _images("images.generations")),
    (r"/images/edits$", _images("images.edits")),
    (r"/images/variations$", _images("images.variations")),
)
# Other publishers' models at Vertex, and deployed ones, are asked as a chat is, by the raw request.
_RAW_CHAT = (
    re.compile(r"/(publishers/[^/]+/models|endpoints)/[^/]+:(rawPredict|streamRawPredict)$", re.I),
    Dialect("chat.completions", ChatAnswer),
)
_GEMINI = Dialect("gemini.generateContent", GeminiAnswer)
_GEMINI_METHODS = ("generatecontent", "streamgeneratecontent")


_FREE = re.compile(
    COUNTING +
    # Keeping things; what is made of them later is a call of its own.
    r"|/(files|uploads(/.+)?|conversations|conversations/[^/]+/items|assistants|threads"
    r"|threads/[^/]+/messages|cancel|api/(show|pull|push|create|copy|blobs/.+))$"
    # What an agent reports of itself.
    r"|/models$"
    r"|/(event_logging|telemetry|metrics|traces|logs)(/|$)",
    re.IGNORECASE,
)
"""Plain paths whose requests cost no tokens."""


def may_cost_unmetered(method: str, path: str, *, has_body: bool = False) -> bool:
    """Return whether a call without a dialect may cost tokens that nobody counts: videos, batches ...

    Args:
        method: HTTP method.
        path: As in `dialect_for`.
        has_body: As in `dialect_for`.
    """
    if not _asks(method, has_body):
        return False
    path = plain_path(path)
    # Looking a model up; some clients send a body with a GET.
    _, found, model = path.lower().rpartition("/models/")
    looks_up = bool(found) and ":" not in model
    return not (looks_up or _FREE.search(path))


def dialect_for(method: str, path: str, *, has_body: bool = False) -> Dialect | None:
    """Return the dialect of a call, `None` for one that is not metered.

    Args:
        method: HTTP method. Clients ask for a completion with POST; but some endpoints do not look
            at the method, so that anything with a body may ask for one.
        path: Path as the upstream sees it, under any prefix; a query string does not matter.
        has_body: Whether the request has a body.
    """
    if not _asks(method, has_body):
        return None
    path = plain_path(path)
    # Some endpoints do not look at capital letters.
    for pattern, dialect in _ROUTES:
        if re.search(pattern, path, re.IGNORECASE):
            return dialect
    if _RAW_CHAT[0].search(path) and not path.lower().endswith("/count-tokens:rawpredict"):
        return _RAW_CHAT[1]
    named = google_method(path)
    return _GEMINI if named is not None and named[1] in _GEMINI_METHODS else None


def _asks(method: str, has_body: bool) -> bool:
    return has_body or method.upper() == "POST"
