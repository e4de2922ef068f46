"""Fault 21: endpoints of sounds and images, which state tokens, or seconds, or nothing."""

from collections.abc import Mapping
from typing import Any

import orjson

from tests.proxy.catalogue.counts import comes_to
from tests.proxy.catalogue.table import Tokens, World, case
from tests.tools.client import Seen
from tests.tools.dialects import named
from tests.tools.raw import exchange
from tests.tools.raw import request as as_request
from tests.tools.upstream import DONE, LAST_CHUNK, Step, chunk, event, json_answer, sse_head

WHOLE = "the whole answer, byte for byte"
FILE = b"ID3\x04\x00\r\n--cut\r\n" + bytes(range(256)) * 40


def form(**members: str) -> tuple[bytes, str]:
    """A form with a file before and after these members, and its content type."""
    file = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
    parts = [file + FILE]
    for name, value in members.items():
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode())
    parts.append(file + b'\r\nContent-Disposition: form-data; name="model"\r\n\r\nnone')
    body = b"".join(b"--cut7\r\n" + part + b"\r\n" for part in parts) + b"--cut7--\r\n"
    return body, "multipart/form-data; boundary=cut7"


def tokens(details: str, **more: int) -> dict[str, Any]:
    parts = {"text_tokens": 4, "audio_tokens": 10, **more}
    return {"input_tokens": 14, details: parts, "output_tokens": 45, "total_tokens": 59}


SOUND = {"type": "tokens", **tokens("input_token_details")}
IMAGE = tokens("input_tokens_details", audio_tokens=0, image_tokens=10)
SECONDS = {"type": "duration", "seconds": 42}
TRANSCRIPT = [
    named("transcript.text.delta", {"delta": "Good "}),
    named("transcript.text.delta", {"delta": "day."}),
    named("transcript.text.done", {"text": "Good day.", "usage": SOUND}),
]
VLLM = [
    event(
        {"object": "transcription.chunk", "choices": [{"index": 0, "delta": {"content": "Good"}}]}
    ),
    event({"object": "transcription.chunk", "choices": [{"delta": {}, "finish_reason": "stop"}]}),
    event(
        {
            "choices": [],
            "usage": {"prompt_tokens": 14, "completion_tokens": 45, "total_tokens": 59},
        }
    ),
    DONE,
]
SPEECH = [
    event({"type": "speech.audio.delta", "audio": "AAAA"}),
    event({"type": "speech.audio.done", "usage": tokens("")}),
]


def pictures(kind: str, *whole: dict[str, Any]) -> list[bytes]:
    partial = named(f"{kind}.partial_image", {"partial_image_index": 0, "b64_json": "AA"})
    return [partial, *(named(f"{kind}.completed", {"b64_json": "AAAA", **one}) for one in whole)]


def file_answer(content_type: str, body: bytes) -> bytes:
    """An answer that is a text or a file."""
    return json_answer(body).replace(b"application/json", content_type.encode())


def media(
    title: str,
    endpoint: str,
    answer: list[bytes] | bytes | Mapping[str, Any],
    *,
    request: dict[str, Any] | None = None,
    counted: Tokens = "see the case",
    stream: bool = False,
    **end: Any,
) -> None:
    """Add a case: an answer of one of these endpoints to a form, or to JSON."""

    async def run(world: World) -> Seen:
        body, kind = form(model="m-form", stream=str(stream).lower()), "application/json"
        sent: Any = request
        if request is None:
            sent, kind = body
        async with world.running(_script(answer)) as meter:
            target = f"/v1/{endpoint.replace('.', '/')}"
            raw = sent if isinstance(sent, bytes) else orjson.dumps(sent)
            seen = await exchange(meter.url, as_request(target, raw, f"Content-Type: {kind}"))
        if isinstance(answer, list):
            assert seen.body == b"".join(answer)
        received = world.upstream.received[0].body
        assert request is not None or received == body[0]
        row = world.rows[0]
        assert (row["model_requested"], row["stream"] or False) == (
            "m-form" if request is None else "m",
            stream,
        )
        return seen

    run.__name__ = f"{endpoint}_{title}".replace(" ", "_")
    end = {"endpoint": endpoint, "end_reason": "completed", **end}
    case("21", f"{endpoint}: {title}", client=WHOLE, tokens=counted, dialects=("chat.completions",),
         streaming=(stream,), **end)(run)  # fmt: skip


def _script(answer: list[bytes] | bytes | Mapping[str, Any]) -> list[Step]:
    if isinstance(answer, list):
        return [sse_head(), *map(chunk, answer), LAST_CHUNK]
    return [answer if isinstance(answer, bytes) else json_answer(dict(answer))]


def unknown(**end: Any) -> dict[str, Any]:
    return {"counted": "none", "usage_status": None, **end}


for _name in ("audio.transcriptions", "audio.translations"):
    media("tokens", _name, {"text": "Good day.", "usage": SOUND}, **comes_to(14, 45))
    media("tokens, as events", _name, TRANSCRIPT, stream=True, **comes_to(14, 45))
    media("tokens, as chunks of a chat (vLLM)", _name, VLLM, stream=True, **comes_to(14, 45))
    media("seconds are not tokens", _name, {"text": "Good day.", "usage": SECONDS}, **unknown(usage_raw=SECONDS))  # fmt: skip
    media("a plain text", _name, file_answer("text/plain", b"i see, data: 5\n"), **unknown())
    media("no usage", _name, {"text": ""}, **unknown())
    media("cut before its usage", _name, TRANSCRIPT[:-1], stream=True, **unknown(end_reason="upstream_cut"))  # fmt: skip
_TEXT = {"model": "m", "input": "Good day.", "voice": "alloy"}
media("a file", "audio.speech", file_answer("audio/mpeg", FILE), request=_TEXT, **unknown())
media("a file that begins as an event does", "audio.speech", file_answer("audio/pcm", b"data: 1\n\n" + FILE),
      request=_TEXT, **unknown())  # fmt: skip
media("tokens, as events", "audio.speech", SPEECH, request={**_TEXT, "stream_format": "sse"}, stream=True,
      **comes_to(14, 45))  # fmt: skip
_DRAW = {"model": "m", "prompt": "a cat", "n": 1}
for _name, _kind, _request in (
    ("images.generations", "image_generation", _DRAW),
    ("images.edits", "image_edit", None),
):
    media("tokens", _name, {"data": [{"b64_json": "AAAA"}], "usage": IMAGE}, request=_request, **comes_to(14, 45))  # fmt: skip
    _ask = _request and {**_request, "stream": True}
    media("tokens, as events", _name, pictures(_kind, {"usage": IMAGE}), request=_ask, stream=True,
          **comes_to(14, 45))  # fmt: skip
    media("usage for each of two images, as events", _name, pictures(_kind, {"usage": IMAGE}, {"usage": IMAGE}),
          request=_ask, stream=True, **comes_to(14, 45, "inconsistent"))  # fmt: skip
for _name, _request in (("images.generations", _DRAW), ("images.variations", None)):
    media("no usage", _name, {"created": 1, "data": [{"url": "u"}]}, request=_request, **unknown())
