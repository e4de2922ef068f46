import asyncio
import random
import string
import threading
from typing import Any

import orjson
import pytest

from cab.proxy.demo.dialects.chat_request import read_request
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.call_records import CallContext, Counted
from cab.proxy.meter import CallMeter, Outcome, Usage, dialect_for
from cab.proxy.tokens.encodings import WINDOW_CHARS, count_text
from cab.proxy.tokens.model_families import FAMILIES, OTHER
from cab.proxy.tokens.usage import Counter
from cab.scoring.ledger.records import Endpoint
from tests.tools.chat_counts import count_chat_completion, count_chat_prompt

PATHS: dict[Endpoint, str] = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "fim.completions": "/v1/fim/completions",
    "embeddings": "/v1/embeddings",
    "rerank": "/v1/rerank",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini.generateContent": "/v1beta/models/m:generateContent",
    "audio.transcriptions": "/v1/audio/transcriptions",
    "audio.speech": "/v1/audio/speech",
    "images.generations": "/v1/images/generations",
    "other": "/v1/models",
}
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello world"}]}
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]
}


class Call:
    """A call as its end finds it."""

    def __init__(
        self,
        request: Any = HELLO,
        answer: Any = ANSWER,
        endpoint: Endpoint = "chat.completions",
        *,
        status: int = 200,
        cut: bool = False,
        **options: Any,
    ) -> None:
        path, stream = PATHS[endpoint], isinstance(answer, bytes)
        body = request if isinstance(request, bytes) else orjson.dumps(request)
        meter = CallMeter(dialect_for("POST", path), path, body, **options)
        meter.start(status, "text/event-stream" if stream else "application/json", "", None)
        meter.feed(answer if stream else orjson.dumps(answer), 1)
        if cut:
            meter.cut()
        else:
            meter.finish(2)
        self.outcome: Outcome = meter.outcome()
        self.context = CallContext(
            call_id="c",
            cell_id=None,
            endpoint=endpoint,
            request=meter.request,
            request_bytes=len(body),
            user_agent=None,
            started_wall_ns=0,
            started_ns=0,
            status=status,
        )

    async def count(self, counter: Counter | None = None) -> Counted:
        return await (counter or Counter({}, 64 << 20, 60)).count(self.context, self.outcome)


def events(*data: Any) -> bytes:
    return b"".join(b"data: " + orjson.dumps(part) + b"\n\n" for part in data)


def delta(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


async def test_reported_usage_stands() -> None:
    """What the endpoint reported is not counted again."""
    usage = {"prompt_tokens": 7, "completion_tokens": 300}
    counted = await Call(answer={**ANSWER, "usage": usage}).count()
    assert counted == Counted(Usage(7, 300, 307), "upstream", "complete")


async def test_a_final_completion_stands_where_the_prompt_is_missing() -> None:
    """The endpoint's own completion is not replaced by an estimate, and zero is kept but marked."""
    counted = await Call(answer={**ANSWER, "usage": {"completion_tokens": 1}}).count()
    assert counted == Counted(Usage(None, 1, None), "upstream", "partial")
    zero = {"prompt_tokens": 7, "completion_tokens": 0}
    counted = await Call(answer={**ANSWER, "usage": zero}).count()
    assert counted == Counted(Usage(7, 0, 7), "upstream", "inconsistent")


@pytest.mark.parametrize(
    ("completion", "status"), [(16, "inconsistent"), (48, "complete"), (300, "complete")]
)
async def test_usage_of_one_choice_of_three_is_marked(completion: int, status: str) -> None:
    """Some servers state the usage of one choice; the answer itself shows that there are three."""
    text = " one two three four" * 4
    choices = [
        {"index": n, "message": {"content": text}, "finish_reason": "length"} for n in range(3)
    ]
    usage = {"prompt_tokens": 7, "completion_tokens": completion}
    counted = await Call(answer={"choices": choices, "usage": usage}).count()
    assert counted.usage == Usage(7, completion, 7 + completion)
    assert (counted.source, counted.status) == ("upstream", status)
    assert (counted.note is not None) is (status == "inconsistent")
    over_limit = await Call(answer={"choices": choices, "usage": usage}).count(Counter({}, 5, 60))
    assert over_limit == Counted(counted.usage, "upstream", "complete")


async def test_a_placeholder_prompt_of_a_broken_stream_is_unknown() -> None:
    """A prompt of zero beside text is not a measured zero."""
    early = {**delta("one two three"), "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    counted = await Call({**HELLO, "stream": True}, events(early), cut=True).count()
    assert counted.usage == Usage(None, 3, None)


async def test_no_text_of_an_answer_that_used_up_its_cap_is_no_zero() -> None:
    """What it wrote was thought and not sent: the count made here is the least."""
    empty = {"choices": [{"index": 0, "message": {"content": ""}, "finish_reason": "length"}]}
    counted = await Call(answer=empty).count()
    assert (counted.source, counted.status) == ("tokenizer", "partial")
    empty["choices"][0]["finish_reason"] = "stop"
    assert (await Call(answer=empty).count()).status == "complete"


async def test_an_answer_that_ends_with_an_error_is_not_counted_whole() -> None:
    """What came before the error is the least, whatever closes the stream."""
    broken = events(delta("one two three"), {"error": {"message": "lost"}}) + b"data: [DONE]\n\n"
    counted = await Call({**HELLO, "stream": True}, broken).count()
    assert (counted.source, counted.status) == ("tokenizer", "partial")


async def test_what_is_not_metered_is_not_counted() -> None:
    """A request of another kind has no tokens."""
    assert await Call(endpoint="other").count() == Counted()


async def test_sounds_and_images_without_usage_are_unknown() -> None:
    """Their tokens cannot be counted from here: never 0, and never the text alone."""
    drawing = {"model": "m", "prompt": "a cat"}
    image = {"data": [{"url": "u"}]}
    assert await Call(drawing, image, "images.generations").count() == Counted()
    assert await Call(b"--x", {"text": "hi"}, "audio.transcriptions").count() == Counted()
    chat = {"message": {"content": "hi", "audio": {"data": "AA"}}, "finish_reason": "stop"}
    counted = await Call(answer={"choices": [chat]}).count()
    assert (counted.source, counted.status) == ("tokenizer", "partial")
    parts = {"parts": [{"inlineData": {"data": "AA"}}]}
    drawn = {"candidates": [{"content": parts, "finishReason": "STOP"}]}
    counted = await Call({"contents": "a cat"}, drawn, "gemini.generateContent").count()
    assert counted.status == "partial"


@pytest.mark.parametrize("status", [429, 500])
async def test_an_error_is_not_counted(status: int) -> None:
    """What an error answer cost is not known from its text."""
    assert await Call(answer={"error": {"message": "no"}}, status=status).count() == Counted()


async def test_what_nobody_answered_is_unknown() -> None:
    """A call without an answer, or with an error in its place, has no usage at all."""
    assert await Call(answer=b"").count() == Counted()
    assert await Call(answer={"error": {"message": "no"}}).count() == Counted()


async def test_an_unreported_call_is_counted() -> None:
    """A whole answer without usage costs what its texts cost, and says who counted."""
    counted = await Call().count()
    prompt = count_text("hello world") + OTHER.message + OTHER.answer
    assert counted == Counted(Usage(prompt, 1, prompt + 1), "tokenizer", "complete")


async def test_a_broken_stream_is_partial() -> None:
    """Of an answer that broke off, what came is counted, and marked as part of it."""
    counted = await Call({**HELLO, "stream": True}, events(delta("hello")), cut=True).count()
    assert counted.usage is not None
    assert counted.usage.completion_tokens == 1
    assert (counted.source, counted.status) == ("tokenizer", "partial")


async def test_a_prompt_with_an_image_is_partial() -> None:
    """A count that leaves out what has no text is marked as part of it."""
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "what?"}, image]}]
    assert (await Call({"messages": messages}).count()).status == "partial"


async def test_a_request_that_is_not_json_is_unknown() -> None:
    """Without the prompt there is no count, though an answer came."""
    assert await Call(b"hello").count() == Counted()


STARTED = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
TEXT = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "one two three"}}


@pytest.mark.parametrize(
    ("request_body", "parts", "usage", "source"),
    [
        ({"model": "m"}, [STARTED, TEXT], Usage(9, 3, 12), "tokenizer"),
        (b"not JSON", [STARTED, TEXT], Usage(9, 3, 12), "tokenizer"),
        ({"model": "m"}, [STARTED], Usage(9, 1, 10), "upstream"),
    ],
)
async def test_usage_from_before_the_end_is_completed(
    request_body: Any, parts: list[Any], usage: Usage, source: str
) -> None:
    """Of a broken Anthropic stream the prompt is reported; what came of the answer is counted."""
    counted = await Call(request_body, events(*parts), "messages", cut=True).count()
    assert counted == Counted(usage, source, "partial")  # type: ignore[arg-type]


async def test_an_unknown_prompt_leaves_the_total_unknown() -> None:
    """A stream that reports no prompt has no total either."""
    started = {"type": "message_start", "message": {"usage": {"output_tokens": 1}}}
    counted = await Call({}, events(started, TEXT), "messages", cut=True).count()
    assert counted.usage == Usage(None, 3, None)


async def test_usage_from_before_the_end_stands_over_the_limit() -> None:
    """Where the answer is too long to be counted, what the endpoint reported so far stands."""
    call = Call({}, events(STARTED, TEXT), "messages", cut=True)
    counted = await call.count(Counter({}, 5, 60))
    assert counted == Counted(Usage(9, 1, 10), "upstream", "partial")


async def test_too_much_text_overflows() -> None:
    """A call with more text than the limit, or more than the meter kept, is not counted."""
    size = len(orjson.dumps(HELLO)) + len("hello")
    assert (await Call().count(Counter({}, size, 60))).status == "complete"
    assert await Call().count(Counter({}, size - 1, 60)) == Counted(status="overflow")
    long = Call({**HELLO, "stream": True}, events(*[delta("x" * 99)] * 9), text_limit_chars=500)
    assert long.outcome.texts_truncated
    assert await long.count() == Counted(status="overflow")


async def test_the_answers_of_the_demo_cost_what_the_demo_says() -> None:
    """An unknown model's call is counted here as the demo counts its own."""
    tool = {"type": "function", "function": {"name": "run", "parameters": {}}}
    request = {**HELLO, "tools": [tool]}
    call = {"id": "c", "type": "function", "function": {"name": "run", "arguments": "{}"}}
    message = {"role": "assistant", "content": "I look.", "tool_calls": [call, call]}
    answer = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    read = read_request(orjson.dumps(request))
    prompt, answer_tokens = (
        count_chat_prompt(read.messages, read.tools),
        count_chat_completion(message),
    )
    assert (await Call(request, answer).count()).usage == Usage(
        prompt, answer_tokens, prompt + answer_tokens
    )


async def test_the_model_decides_the_frames() -> None:
    """The served model's family is counted with, and no count is below zero."""
    answer = {
        "modelVersion": "gemini-2.5-flash",
        "candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}],
    }  # fmt: skip
    request = {"contents": [{"parts": [{"text": "hello world"}]}]}
    counted = await Call(request, answer, "gemini.generateContent").count()
    assert FAMILIES["gemini"].answer_call < 0
    assert counted.usage == Usage(2, 0, 2)


@pytest.mark.parametrize(
    ("requested", "served", "encoding"),
    [
        ("gpt-4o", "", "o200k_base"),
        ("my-alias", "gpt-4-0613", "cl100k_base"),
        ("house/a", "gpt-4o", "cl100k_base"),
        ("alias", "house/b", "cl100k_base"),
        ("old-1", "gpt-4o", "o200k_base"),
        ("", "", "o200k_base"),
    ],
)
def test_encodings(requested: str, served: str, encoding: str) -> None:
    """The first pattern that fits either name decides, else the served model's own encoding."""
    counter = Counter(
        {"old-1": "o200k_base", "house/*": "cl100k_base", "old-*": "cl100k_base"}, 1, 1
    )
    assert counter.encoding_for(requested, served) == encoding


def test_unknown_encodings_are_rejected_at_once() -> None:
    """A map with an unknown encoding is an error before any call."""
    with pytest.raises(BadConfig, match="'p50k' is unknown"):
        Counter({"m": "p50k"}, 1, 1)


async def test_a_failing_count_leaves_the_call_unknown() -> None:
    """A request on which the count fails, by its depth here, ends with usage unknown."""
    schema = b'{"items":' * 1_000 + b"{}" + b"}" * 1_000
    form = b'{"type":"json_schema","json_schema":{"schema":%s}}' % schema
    body = b'{"model":"gpt-4o","messages":[],"response_format":%s}' % form
    assert await Call(body).count() == Counted()


RANDOM = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=1 << 20))


@pytest.mark.parametrize(
    ("text", "fewest"),
    [(RANDOM, 100_000), ("a" * (1 << 20), 100_000), ("word " * 1_000_000, 1_000_000)],
    ids=["1 MB without white space", "1 MB of one character", "1 M tokens"],
)
async def test_the_loop_runs_on_while_counting(text: str, fewest: int) -> None:
    """While a long text is counted, the loop turns more often than there are pieces."""
    call = Call({"messages": [{"role": "user", "content": text}]})
    turns = 0
    async with asyncio.TaskGroup() as tasks:
        counted = tasks.create_task(call.count())
        while not counted.done():
            await asyncio.sleep(0)
            turns += 1
    usage = counted.result().usage
    assert usage is not None
    assert (usage.prompt_tokens or 0) >= fewest
    assert turns > len(text) / WINDOW_CHARS


async def test_a_count_over_its_time_overflows_and_later_ones_are_made() -> None:
    """A count that outlasts its limit overflows; its thread ends, and the next call is counted."""
    counter = Counter({}, 1 << 30, 0.1)
    long = Call({"messages": [{"role": "user", "content": RANDOM * 7}]})
    assert await long.count(counter) == Counted(status="overflow")
    assert (await Call().count(counter)).source == "tokenizer"
    for thread in threading.enumerate():
        if thread.name == "cab-count":
            await asyncio.to_thread(thread.join)


async def test_counts_wait_for_each_other_within_their_limit() -> None:
    """Counts are made one at a time, and each gets its turn."""
    counter = Counter({}, 1 << 20, 60)
    counted = await asyncio.gather(*(Call().count(counter) for _ in range(20)))
    assert {each.source for each in counted} == {"tokenizer"}


async def test_nothing_is_counted_after_the_end() -> None:
    """A counter that was closed counts no more."""
    counter = Counter({}, 1 << 20, 60)
    counter.close()
    assert await Call().count(counter) == Counted(status="overflow")
