"""Faults 7, 9, 10 and 12b: what the counts of a usage object mean, and what they contradict."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from cab.scoring.ledger.records import Endpoint
from tests.proxy.catalogue.table import OPENAI, World, case
from tests.tools.client import Seen, post
from tests.tools.dialects import named
from tests.tools.upstream import DONE, LAST_CHUNK, Step, chunk, event, json_answer, sse_head

WHOLE = "the whole answer, byte for byte"
TOTALS: tuple[Endpoint, ...] = (*OPENAI, "responses", "gemini.generateContent")
"""Dialects that state a total beside the two counts of a generation."""
DETAILS: tuple[Endpoint, ...] = (*OPENAI, "responses")
"""Those with reasoning inside the completion."""
MESSAGES: tuple[Endpoint, ...] = ("messages",)
GEMINI: tuple[Endpoint, ...] = ("gemini.generateContent",)
GENERATING: tuple[Endpoint, ...] = (*TOTALS, *MESSAGES)

_OPENAI = {
    "prompt": ("prompt_tokens",),
    "completion": ("completion_tokens",),
    "total": ("total_tokens",),
    "read": ("prompt_tokens_details", "cached_tokens"),
    "reasoning": ("completion_tokens_details", "reasoning_tokens"),
}
_NAMES: dict[Endpoint, dict[str, tuple[str, ...]]] = {
    "chat.completions": _OPENAI,
    "completions": _OPENAI,
    "embeddings": _OPENAI,
    "responses": {
        "prompt": ("input_tokens",),
        "completion": ("output_tokens",),
        "total": ("total_tokens",),
        "read": ("input_tokens_details", "cached_tokens"),
        "reasoning": ("output_tokens_details", "reasoning_tokens"),
    },
    "messages": {
        "prompt": ("input_tokens",),
        "completion": ("output_tokens",),
        "read": ("cache_read_input_tokens",),
        "written": ("cache_creation_input_tokens",),
        "reasoning": ("output_tokens_details", "thinking_tokens"),
    },
    "gemini.generateContent": {
        "prompt": ("promptTokenCount",),
        "completion": ("candidatesTokenCount",),
        "total": ("totalTokenCount",),
        "read": ("cachedContentTokenCount",),
        "reasoning": ("thoughtsTokenCount",),
    },
}

Raw = dict[str, Any]
Usages = Callable[[Endpoint], Sequence[Raw]]


def stated(endpoint: Endpoint, **counts: Any) -> Raw:
    """A usage object with these counts, as the dialect names them; those it has no name for are left out."""
    raw: Raw = {}
    for name, value in counts.items():
        path = _NAMES[endpoint].get(name)
        if path is not None:
            *holders, last = path
            holder = raw.setdefault(holders[0], {}) if holders else raw
            holder[last] = value
    return raw


def each(*objects: Mapping[str, Any]) -> Usages:
    """The same counts in every dialect, one object after the other."""
    return lambda endpoint: [stated(endpoint, **counts) for counts in objects]


def stating(world: World, usages: Sequence[Raw]) -> list[Step]:
    """The sample's answer with these usage objects, the last one at its end."""
    sample, last = world.sample, usages[-1]
    if not world.stream:
        key = "usageMetadata" if sample.endpoint.startswith("gemini") else "usage"
        return [json_answer({**sample.answer, key: last})]
    early = usages[:-1]
    match sample.endpoint:
        case "responses":
            open_events = [named("response.in_progress", {"response": {"usage": u}}) for u in early]
            response = {**sample.answer, "usage": last}
            ending = [*open_events, named("response.completed", {"response": response})]
            events = [*sample.texts, *ending]
        case "messages":
            head = orjson.loads(sample.texts[0].rpartition(b"data: ")[2])
            message = {**head["message"], "usage": usages[0]}
            deltas = [{"delta": {}, "usage": u} for u in usages[1:-1]]
            deltas.append({"delta": {"stop_reason": "end_turn"}, "usage": last})
            events = [named("message_start", {"message": message}), *sample.texts[1:]]
            events += [named("message_delta", delta) for delta in deltas]
            events.append(sample.terminal)
        case "gemini.generateContent":
            finish = orjson.loads(sample.ending[0].rpartition(b"data: ")[2])
            events = [*sample.texts, *(event({"usageMetadata": u}) for u in early)]
            events.append(event({**finish, "usageMetadata": last}))
        case _:
            events = [*sample.texts, sample.ending[0]]
            events += [event({"choices": [], "usage": u}) for u in usages]
            events.append(DONE)
    return [sse_head(), *(chunk(e) for e in events), LAST_CHUNK]


def check_parts(raw: Raw, row: dict[str, Any]) -> None:
    """Check that each pass is a part with its model, and that those billed come to the row's counts."""
    entries = raw.get("iterations")
    if entries is None:
        assert row["usage_parts"] is None
        return
    parts = row["usage_parts"]
    listed = [(e["type"], e.get("model", row["model_served"])) for e in entries]
    # An answer that is not listed is the last part.
    unlisted = (
        [] if any("message" in kind for kind, _ in listed) else [("message", row["model_served"])]
    )
    assert [(part["type"], part["model"]) for part in parts] == listed + unlisted
    for name in ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens"):
        assert sum(part[name] for part in parts if part["billed"]) == row[name]


def states(
    number: str,
    title: str,
    usages: Usages,
    dialects: tuple[Endpoint, ...],
    *,
    streaming: tuple[bool, ...] = (False, True),
    **end: Any,
) -> None:
    """Add a case: an endpoint that states these usage objects."""

    async def run(world: World) -> Seen:
        objects = usages(world.sample.endpoint)
        seen = await world.call(stating(world, objects))
        check_parts(objects[-1], world.rows[0])
        return seen

    run.__name__ = re.sub(r"\W+", "_", title.lower())
    end = {"end_reason": "completed", "usage_source": "upstream", **end}
    case(
        number, title, client=WHOLE, tokens="see the case", dialects=dialects, streaming=streaming, **end
    )(run)  # fmt: skip


def comes_to(
    prompt: int | None, completion: int, status: str = "complete", *, total: int | None = None
) -> dict[str, Any]:
    """What a record says of these two counts."""
    if total is None and prompt is not None:
        total = prompt + completion
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return {**counts, "usage_status": status}


REAL = {"prompt": 100, "completion": 7, "total": 107}
STREAM = (True,)

# Later objects: merged member by member.
states("7", "the prompt in one usage object, the completion in the next", each({"prompt": 100}, {"completion": 7}),
       GENERATING, streaming=STREAM, **comes_to(100, 7))  # fmt: skip
states("7", "real counts, then zeros", each(REAL, dict.fromkeys(REAL, 0)),
       GENERATING, streaming=STREAM, **comes_to(100, 7))  # fmt: skip
states("7", "real counts, then nulls", each(REAL, dict.fromkeys(REAL)),
       GENERATING, streaming=STREAM, **comes_to(100, 7))  # fmt: skip
states("7", "zeros, then real counts (Ollama)", each(dict.fromkeys(REAL, 0), REAL),
       GENERATING, streaming=STREAM, **comes_to(100, 7))  # fmt: skip
states("7", "details in one usage object, counts in the next", each({"read": 64, "reasoning": 5}, REAL),
       DETAILS, streaming=STREAM, cache_read_tokens=64, reasoning_tokens=5, **comes_to(100, 7))  # fmt: skip
states("7", "`thoughtsTokenCount` only in an earlier chunk",
       each({"prompt": 100, "reasoning": 5, "total": 105}, {"prompt": 100, "completion": 7, "total": 112}),
       GEMINI, streaming=STREAM, reasoning_tokens=5, **comes_to(100, 12))  # fmt: skip
states("7", "the total in one usage object, the prompt in the next", each({"total": 81}, {"prompt": 21}),
       TOTALS, streaming=STREAM, **comes_to(21, 60))  # fmt: skip
states("7", "counts, then `trafficType` alone", lambda name: [stated(name, **REAL), {"trafficType": "ON_DEMAND"}],
       GEMINI, streaming=STREAM, **comes_to(100, 7))  # fmt: skip

# What must hold between counts.
states("12b", "the total holds hidden thinking", each({"prompt": 20, "completion": 424, "total": 1016}),
       TOTALS, **comes_to(20, 996))  # fmt: skip
states("12b", "no completion, but a total", each({"prompt": 21, "total": 81}), TOTALS, **comes_to(21, 60))  # fmt: skip
states("12b", "reasoning beside the completion, in the total",
       each({"prompt": 10, "completion": 5, "total": 75, "reasoning": 60}), DETAILS, **comes_to(10, 65))  # fmt: skip
states("12b", "reasoning ten times the completion",
       each({"prompt": 33, "completion": 7163, "total": 7196, "reasoning": 73416}),
       DETAILS, **comes_to(33, 80579))  # fmt: skip
states("12b", "reasoning a little more than the completion",
       each({"prompt": 100, "completion": 102, "total": 202, "reasoning": 109}),
       (*DETAILS, "messages"), **comes_to(100, 102, "inconsistent"))  # fmt: skip
states("12b", "cached tokens beside the prompt, in the total",
       each({"prompt": 5, "completion": 10, "total": 12015, "read": 12000}), TOTALS, **comes_to(12005, 10))  # fmt: skip
states("12b", "cached tokens more than the prompt",
       each({"prompt": 100, "completion": 50, "total": 150, "read": 101}),
       TOTALS, **comes_to(100, 50, "inconsistent"))  # fmt: skip
states("12b", "a total smaller than its parts", each({"prompt": 100, "completion": 50, "total": 90}),
       TOTALS, **comes_to(100, 50, "inconsistent", total=90))  # fmt: skip
states("12b", "a total off by one", each({"prompt": 100, "completion": 50, "total": 151}),
       TOTALS, **comes_to(100, 50, "inconsistent", total=151))  # fmt: skip
states("12b", "a total that is twice its parts", each({"prompt": 1, "completion": 1, "total": 4}),
       TOTALS, **comes_to(1, 1, "inconsistent", total=4))  # fmt: skip
states("12b", "a total alone", lambda _: [{"total_tokens": 8}], ("embeddings",), **comes_to(8, 0))  # fmt: skip
states("12b", "prompt 0 beside a completion is unknown", each({"prompt": 0, "completion": 7, "total": 7}),
       GENERATING, **comes_to(None, 7, "partial"))  # fmt: skip
states("12b", "completion 0 beside a text", each({"prompt": 12, "completion": 0, "total": 12}),
       GENERATING, **comes_to(12, 0, "inconsistent"))  # fmt: skip
states("12b", "counts as text", each({"prompt": "12", "completion": "7", "total": "19"}),
       GENERATING, **comes_to(12, 7))  # fmt: skip
states("12b", "`input_tokens` and `output_tokens` where they are not the dialect's names",
       lambda _: [{"input_tokens": 12, "output_tokens": 7}], (*OPENAI, *GEMINI), **comes_to(12, 7))  # fmt: skip
states("12b", "`prompt_tokens` and `completion_tokens` where they are not the dialect's names",
       lambda _: [{"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}],
       ("responses", "messages", *GEMINI), **comes_to(12, 7))  # fmt: skip


@case("12b", "the usage object where another dialect has it: `usageMetadata`, in Gemini's answer `usage`", client=WHOLE,
      end_reason="completed", usage_status="complete")  # fmt: skip
async def _usage_under_another_member(world: World) -> Seen:
    own = b'"usageMetadata":' if world.sample.endpoint in GEMINI else b'"usage":'
    other = b'"usage":' if world.sample.endpoint in GEMINI else b'"usageMetadata":'
    if not world.stream:
        answer = orjson.dumps(world.sample.answer)
        assert own in answer
        return await world.call([json_answer(answer.replace(own, other))])
    events = [chunk(e.replace(own, other)) for e in world.sample.events]
    return await world.call([sse_head(), *events, LAST_CHUNK])


@case("12b", "more tokens than the request's own cap allows: a hint in `usage_note`, the counts stay", client=WHOLE,
      dialects=("chat.completions",), streaming=(False,), end_reason="completed", usage_status="complete",
      usage_note="the completion is over the 10 tokens that the request allows")  # fmt: skip
async def _over_the_cap(world: World) -> Seen:
    async with world.running(world.whole()) as meter:
        return await post(meter.url, world.sample.path, {**world.sample.request, "max_tokens": 10})


@case("12b", "three choices, and the usage of one (llama.cpp)", client=WHOLE, tokens="see the case", dialects=OPENAI,
      end_reason="completed", usage_source="upstream", **comes_to(30, 16, "inconsistent"))  # fmt: skip
async def _usage_of_one_choice(world: World) -> Seen:
    usage = stated(world.sample.endpoint, prompt=30, completion=16, total=46)
    text = " one two three four" * 4
    member = "delta" if world.stream else "message"
    said = {"text": text} if world.sample.endpoint == "completions" else {member: {"content": text}}
    choices = [{"index": n, **said, "finish_reason": "length"} for n in range(3)]
    if not world.stream:
        return await world.call([json_answer({"choices": choices, "usage": usage})])
    events = [*(event({"choices": [c]}) for c in choices), event({"choices": [], "usage": usage})]
    return await world.call([sse_head(), *(chunk(e) for e in (*events, DONE)), LAST_CHUNK])


states("12b", "sounds among the tokens: parts of the two counts",
       lambda _: [{"prompt_tokens": 100, "completion_tokens": 70, "total_tokens": 170,
                   "prompt_tokens_details": {"audio_tokens": 80, "text_tokens": 20, "cached_tokens": 64},
                   "completion_tokens_details": {"audio_tokens": 50, "text_tokens": 20, "reasoning_tokens": 0}}],
       ("chat.completions",), cache_read_tokens=64, reasoning_tokens=0, **comes_to(100, 70))  # fmt: skip


# Names of cached tokens.
def cached(**members: Any) -> Usages:
    return lambda name: [{**stated(name, **REAL), **members}]


_CACHED: dict[str, Raw] = {
    "`cached_tokens` beside the prompt (Moonshot, Together)": {"cached_tokens": 64},
    "`num_cached_tokens` (Mistral)": {"num_cached_tokens": 64},
    "`prompt_token_details.cached_tokens` (Mistral)": {
        "prompt_token_details": {"cached_tokens": 64}
    },
    "cache hits and misses, which are the prompt (DeepSeek)": {
        "prompt_cache_hit_tokens": 64,
        "prompt_cache_miss_tokens": 36,
    },
}
for _vendor, _members in _CACHED.items():
    states("12b", _vendor, cached(**_members), OPENAI, cache_read_tokens=64, **comes_to(100, 7))
states("12b", "cache hits and misses that are not the prompt",
       cached(prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=64),
       OPENAI, cache_read_tokens=64, **comes_to(100, 7, "inconsistent"))  # fmt: skip
states("12b", "cache hits and misses alone",
       lambda _: [{"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36, "completion_tokens": 7}],
       OPENAI, cache_read_tokens=64, **comes_to(100, 7))  # fmt: skip


# Price.
def priced(**members: Any) -> Usages:
    return lambda name: [{**stated(name, **REAL), **members}]


states("12b", "the price is in ticks (xAI)", priced(cost_in_usd_ticks=1466250),
       DETAILS, cost_usd="0.000146625", price_source="upstream", **comes_to(100, 7))  # fmt: skip
states("12b", "a key of the user's own (OpenRouter): the vendor's price counts",
       priced(cost=0, is_byok=True, cost_details={"upstream_inference_cost": 0.036}),
       DETAILS, cost_usd="0.036", price_source="upstream", **comes_to(100, 7))  # fmt: skip
states("12b", "a key of the user's own and no price of the vendor: the price is unknown",
       priced(cost=0, is_byok=True), DETAILS, cost_usd=None, price_source=None, **comes_to(100, 7))  # fmt: skip


# Anthropic.
def message(fresh: int, output: int, read: int = 0, written: int = 0, **more: Any) -> Raw:
    counts = stated("messages", prompt=fresh, completion=output, read=read, written=written)
    return {**counts, **more}


def passes(top: Raw, *entries: Raw) -> Usages:
    return lambda _: [{**top, "iterations": list(entries)}]


states("10", "a compaction is not in the counts beside it",
       passes(message(23000, 1000), message(180000, 3500, type="compaction"), message(23000, 1000, type="message")),
       MESSAGES, **comes_to(203000, 4500))  # fmt: skip
states("10", "a compaction is the only pass that is listed",
       passes(message(23000, 1000), message(180000, 3500, type="compaction")),
       MESSAGES, **comes_to(203000, 4500))  # fmt: skip
states("10", "the message that is listed is less than the counts beside it",
       passes(message(23000, 1000), message(180000, 3500, type="compaction"), message(22000, 1000, type="message")),
       MESSAGES, **comes_to(202000, 4500, "inconsistent"))  # fmt: skip
states("10", "an advisor is not in the counts beside it",
       passes(message(412, 531), message(412, 89, type="message"),
              message(823, 1612, type="advisor_message", model="m-2"), message(1348, 442, 412, type="message")),
       MESSAGES, **comes_to(2995, 2143))  # fmt: skip
states("10", "several passes of one message are the sum already",
       passes(message(30, 12, 900, 40), message(10, 5, 400, 40, type="message"), message(20, 7, 500, type="message")),
       MESSAGES, cache_read_tokens=900, cache_write_tokens=40, **comes_to(970, 12))  # fmt: skip
states("10", "an attempt that declined before any output is not billed",
       passes(message(412, 264), message(408, 0, type="message"), message(412, 264, type="fallback_message")),
       MESSAGES, **comes_to(412, 264))  # fmt: skip
states("10", "an attempt that declined after some output is billed",
       passes(message(2, 90, 800), message(2, 57, 700, 100, type="message"), message(2, 90, 800, type="fallback_message")),
       MESSAGES, **comes_to(1604, 147))  # fmt: skip
states("10", "a pass of an unknown type is never added",
       passes(message(10, 5), message(10, 5, type="message"), message(900, 90, type="dream")),
       MESSAGES, **comes_to(10, 5, "inconsistent"))  # fmt: skip
states("10", "a cache write in its parts, without their sum",
       lambda _: [{"input_tokens": 8, "output_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 12}}],
       MESSAGES, cache_write_tokens=42, **comes_to(50, 5))  # fmt: skip
states("10", "zeros in `message_delta`", lambda _: [message(15, 4), message(0, 0)],
       MESSAGES, streaming=STREAM, **comes_to(15, 4))  # fmt: skip
states("10", "zeros in `message_delta`, after cached tokens too", lambda _: [message(15, 4, 200, 1000), message(0, 0)],
       MESSAGES, streaming=STREAM, **comes_to(1215, 4))  # fmt: skip
states("10", "`message_delta` restates the input without its cache (vLLM)",
       lambda _: [{"input_tokens": 1000, "output_tokens": 0}, {"input_tokens": 200, "output_tokens": 12, "cache_read_input_tokens": 800}],
       MESSAGES, streaming=STREAM, **comes_to(1000, 12))  # fmt: skip
states("10", "cached tokens in `message_delta` without the input",
       lambda _: [{"input_tokens": 3602, "output_tokens": 0}, {"output_tokens": 878, "cache_read_input_tokens": 3604}],
       MESSAGES, streaming=STREAM, **comes_to(7206, 878, "inconsistent"))  # fmt: skip
