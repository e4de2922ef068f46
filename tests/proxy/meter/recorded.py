"""What each answer in `tests/fixtures/streams` must yield."""

from dataclasses import dataclass
from pathlib import Path

from cab.proxy.meter import Usage

FOLDER = Path(__file__).parents[2] / "fixtures" / "streams"
GEMINI_STREAM = "/v1beta/models/gemini-2.5-pro:streamGenerateContent"


@dataclass(frozen=True)
class Recorded:
    """One answer and its figures."""

    file: str
    path: str
    model: str
    usage: Usage
    finish: str | None
    tool_calls: int | None
    texts: tuple[str, ...]
    finish_all: tuple[str, ...] | None = None
    upstream_id: str | None = None
    terminal: bytes = b""
    """What the part that is kept inside must start with; empty where only the end tells."""
    cost_usd: str | None = None

    @property
    def answer(self) -> bytes:
        return (FOLDER / self.file).read_bytes()

    @property
    def content_type(self) -> str:
        return "text/event-stream" if self.file.endswith(".sse") else "application/json"


_CHAT = "/v1/chat/completions"
_DONE = b"data: [DONE]"
_OPENAI = (
    _CHAT,
    "gpt-4o-mini-2024-07-18",
    Usage(2041, 9, 2050, 1920, None, 0),
    "stop",
    0,
    ('Grüße aus\u2028Köln 🚀 usage":null',),
)
_TOOLS = (
    _CHAT,
    "gpt-5-mini",
    Usage(310, 118, 428, 0, None, 64),
    "tool_calls",
    2,
    ("read_file", '{"path":"src/lib.rs"}', "bash", '{"cmd":"ls"}'),
)
_COMPLETIONS = (
    "/v1/completions",
    "davinci-002",
    Usage(5, 4, 9),
    "length",
    None,
    ("def f():",),
)
_RESPONSES = ("/v1/responses", "gpt-5-codex", Usage(5120, 87, 5207, 4992, 0, 64), "completed", 1)
_MESSAGES = (
    "/v1/messages",
    "claude-sonnet-4-5-20250929",
    Usage(8312, 89, 8401, 8000, 300),
    "tool_use",
    1,
    ("Weigh it.", "Okay: message_stop", "bash", '{"cmd":"ls"}'),
)
_GEMINI = ("gemini-2.5-pro", Usage(46, 39, 85, 8, None, 30), "STOP", 1)
_GEMINI_TEXTS = ("Think.", 'Ja, "]}[{', '{"name":"ls","args":{"path":"."}}')

RECORDED = (
    Recorded("chat-openai.sse", *_OPENAI, terminal=_DONE),
    Recorded("chat-openai.json", *_OPENAI),
    Recorded("chat-tools.sse", *_TOOLS, terminal=_DONE),
    Recorded("chat-tools.json", *_TOOLS),
    Recorded(
        "chat-openrouter.sse",
        _CHAT,
        "deepseek/deepseek-r1",
        Usage(64, 31, 95, 12, 5, 27),
        "stop",
        0,
        ("Let me see.", "42"),
        terminal=_DONE,
        cost_usd="0.00012345",
    ),
    Recorded(
        "chat-deepseek.sse",
        _CHAT,
        "deepseek-reasoner",
        Usage(20, 70, 90, 16, None, 61),
        "stop",
        0,
        ("Hm", "Yes"),
        terminal=_DONE,
    ),
    Recorded(
        "chat-groq.sse",
        _CHAT,
        "llama-3.3-70b-versatile",
        Usage(36, 3, 39),
        "stop",
        0,
        ("Hi",),
        terminal=_DONE,
    ),
    Recorded(
        "chat-mistral.sse",
        _CHAT,
        "mistral-large-latest",
        Usage(11, 5, 16),
        "stop",
        0,
        ("So Bonjour",),
        terminal=_DONE,
    ),
    Recorded(
        "chat-azure.sse",
        "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21",
        "gpt-4o-2024-08-06",
        Usage(9, 2, 11),
        "stop",
        0,
        ("Hello",),
        terminal=_DONE,
    ),
    Recorded(
        "chat-vllm-cumulative.sse",
        _CHAT,
        "Qwen/Qwen3-8B",
        Usage(7, 4, 11),
        "stop",
        0,
        ("ac", "bd"),
        finish_all=("stop", "length"),
        terminal=_DONE,
    ),
    Recorded("completions.sse", *_COMPLETIONS, terminal=_DONE),
    Recorded("completions.json", *_COMPLETIONS),
    Recorded(
        "embeddings.json",
        "/v1/embeddings",
        "text-embedding-3-small",
        Usage(8, 0, 8),
        None,
        None,
        (),
    ),
    Recorded(
        "responses.sse",
        *_RESPONSES,
        ("Look first.", "shell", '{"cmd":["ls"]}', "Done: response.completed"),
        terminal=b"event: response.completed",
    ),
    Recorded(
        "responses.json",
        *_RESPONSES,
        ("Look first.", "shell", '{"cmd":["ls"]}', "Done: response.completed"),
    ),
    Recorded("messages.sse", *_MESSAGES, terminal=b"event: message_stop"),
    Recorded("messages.json", *_MESSAGES),
    Recorded("gemini.sse", GEMINI_STREAM, *_GEMINI, _GEMINI_TEXTS),
    Recorded("gemini-array.json", GEMINI_STREAM, *_GEMINI, _GEMINI_TEXTS),
    Recorded(
        "gemini.json", "/v1beta/models/gemini-2.5-pro:generateContent", *_GEMINI, _GEMINI_TEXTS
    ),
)
