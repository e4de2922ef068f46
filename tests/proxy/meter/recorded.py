"""What each answer in `tests/fixtures/streams` must yield."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import CHAT

FOLDER = Path(__file__).parents[2] / "fixtures" / "streams"
GEMINI_STREAM = "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
GEMINI_WHOLE = "/v1beta/models/gemini-2.5-pro:generateContent"
AZURE = "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21"
_TERMINALS = {"responses": b"event: response.completed", "messages": b"event: message_stop"}


@dataclass(frozen=True)
class Recorded:
    """One answer and its figures."""

    file: str
    model: str
    usage: Usage
    texts: tuple[str, ...]
    path: str = CHAT
    finish: str | None = "stop"
    tool_calls: int | None = 0
    finish_all: tuple[str, ...] | None = None
    cost_usd: str | None = None

    @property
    def answer(self) -> bytes:
        return (FOLDER / self.file).read_bytes()

    @property
    def content_type(self) -> str:
        return "text/event-stream" if self.file.endswith(".sse") else "application/json"

    @property
    def terminal(self) -> bytes:
        """What the part that is kept inside must start with; empty where only the end tells."""
        if self.path == GEMINI_STREAM or not self.file.endswith(".sse"):
            return b""
        return _TERMINALS.get(self.file.removesuffix(".sse"), b"data: [DONE]")


_openai = partial(
    Recorded,
    model="gpt-4o-mini-2024-07-18",
    usage=Usage(2041, 9, 2050, 1920, None, 0),
    texts=('Grüße aus\u2028Köln 🚀 usage":null',),
)
_tools = partial(
    Recorded,
    model="gpt-5-mini",
    usage=Usage(310, 118, 428, 0, None, 64),
    texts=("read_file", '{"path":"src/lib.rs"}', "bash", '{"cmd":"ls"}'),
    finish="tool_calls",
    tool_calls=2,
)
_completions = partial(
    Recorded,
    model="davinci-002",
    usage=Usage(5, 4, 9),
    texts=("def f():",),
    path="/v1/completions",
    finish="length",
    tool_calls=None,
)
_responses = partial(
    Recorded,
    model="gpt-5-codex",
    usage=Usage(5120, 87, 5207, 4992, 0, 64),
    texts=("Look first.", "shell", '{"cmd":["ls"]}', "Done: response.completed"),
    path="/v1/responses",
    finish="completed",
    tool_calls=1,
)
_messages = partial(
    Recorded,
    model="claude-sonnet-4-5-20250929",
    usage=Usage(8312, 89, 8401, 8000, 300),
    texts=("Weigh it.", "Okay: message_stop", "bash", '{"cmd":"ls"}'),
    path="/v1/messages",
    finish="tool_use",
    tool_calls=1,
)
_gemini = partial(
    Recorded,
    model="gemini-2.5-pro",
    usage=Usage(46, 39, 85, 8, None, 30),
    texts=("Think.", 'Ja, "]}[{', '{"name":"ls","args":{"path":"."}}'),
    finish="STOP",
    tool_calls=1,
)
_embeddings = partial(Recorded, texts=(), path="/v1/embeddings", finish=None, tool_calls=None)
_THINKING = Usage(20, 70, 90, 16, None, 61)

RECORDED = (
    _openai("chat-openai.sse"),
    _openai("chat-openai.json"),
    _tools("chat-tools.sse"),
    _tools("chat-tools.json"),
    Recorded(
        "chat-openrouter.sse",
        "deepseek/deepseek-r1",
        Usage(64, 31, 95, 12, 5, 27),
        ("Let me see.", "42"),
        cost_usd="0.00012345",
    ),
    Recorded("chat-deepseek.sse", "deepseek-reasoner", _THINKING, ("Hm", "Yes")),
    Recorded("chat-groq.sse", "llama-3.3-70b-versatile", Usage(36, 3, 39), ("Hi",)),
    Recorded("chat-mistral.sse", "mistral-large-latest", Usage(11, 5, 16), ("So Bonjour",)),
    Recorded("chat-azure.sse", "gpt-4o-2024-08-06", Usage(9, 2, 11), ("Hello",), AZURE),
    Recorded(
        "chat-vllm-cumulative.sse",
        "Qwen/Qwen3-8B",
        Usage(7, 4, 11),
        ("ac", "bd"),
        finish_all=("stop", "length"),
    ),
    _completions("completions.sse"),
    _completions("completions.json"),
    _embeddings("embeddings.json", model="text-embedding-3-small", usage=Usage(8, 0, 8)),
    _responses("responses.sse"),
    _responses("responses.json"),
    _messages("messages.sse"),
    _messages("messages.json"),
    _gemini("gemini.sse", path=GEMINI_STREAM),
    _gemini("gemini-array.json", path=GEMINI_STREAM),
    _gemini("gemini.json", path=GEMINI_WHOLE),
)
