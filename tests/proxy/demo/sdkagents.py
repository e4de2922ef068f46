"""Agents in a few lines, one per SDK: each runs the shell commands that it gets."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anthropic
import httpx
import openai
import orjson

Act = Callable[[str], str]
"""Runs a command and returns what it printed."""
Sdk = Any
"""Strict checkers know only a part of the types of these SDKs."""

KEY = "sk-cell-7"
MOST_TURNS = 8
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
}


class SdkAnswer(NamedTuple):
    """One answer as an SDK reports it."""

    id: str
    prompt_tokens: int
    completion_tokens: int
    text: str


class Job(NamedTuple):
    """What an agent is asked to do, and how."""

    url: str
    model: str
    prompt: str
    act: Act
    stream: bool


async def by_responses(job: Job) -> list[SdkAnswer]:
    """Go on over OpenAI responses until no tool is called."""
    answers: list[SdkAnswer] = []
    items: list[Any] = [{"role": "user", "content": job.prompt}]
    tool = {"type": "function", "name": "bash", "parameters": SCHEMA, "strict": False}
    async with openai.AsyncOpenAI(base_url=f"{job.url}/v1", api_key=KEY, max_retries=0) as sdk:
        for _ in range(MOST_TURNS):
            asked = {"model": job.model, "input": items, "tools": [tool]}
            answer = await _response(sdk, asked, stream=job.stream)
            usage = answer.usage
            answers.append(
                SdkAnswer(answer.id, usage.input_tokens, usage.output_tokens, answer.output_text)
            )
            calls = [item for item in answer.output if item.type == "function_call"]
            items += [item.model_dump(exclude_none=True) for item in answer.output]
            for call in calls:
                output = job.act(orjson.loads(call.arguments)["command"])
                items.append(
                    {"type": "function_call_output", "call_id": call.call_id, "output": output}
                )
            if not calls:
                return answers
    raise AssertionError(f"no end: {answers}")


async def _response(sdk: Sdk, asked: dict[str, Any], *, stream: bool) -> Any:
    if not stream:
        return await sdk.responses.create(**asked)
    async with sdk.responses.stream(**asked) as events:
        return await events.get_final_response()


async def by_messages(job: Job) -> list[SdkAnswer]:
    """Go on over Anthropic messages until no tool is called."""
    answers: list[SdkAnswer] = []
    messages: list[Any] = [{"role": "user", "content": job.prompt}]
    tool = {"name": "bash", "description": "runs a command", "input_schema": SCHEMA}
    async with anthropic.AsyncAnthropic(base_url=job.url, api_key=KEY, max_retries=0) as sdk:
        for _ in range(MOST_TURNS):
            asked = {"model": job.model, "max_tokens": 999, "messages": messages, "tools": [tool]}
            answer = await _message(sdk, asked, stream=job.stream)
            usage = answer.usage
            cached = usage.cache_read_input_tokens + usage.cache_creation_input_tokens
            text = "".join(block.text for block in answer.content if block.type == "text")
            answers.append(
                SdkAnswer(answer.id, usage.input_tokens + cached, usage.output_tokens, text)
            )
            messages.append({"role": "assistant", "content": answer.content})
            calls = [block for block in answer.content if block.type == "tool_use"]
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": call.id,
                    "content": job.act(call.input["command"]),
                }
                for call in calls
            ]
            assert bool(calls) is (answer.stop_reason == "tool_use")
            if not calls:
                return answers
            messages.append({"role": "user", "content": results})
    raise AssertionError(f"no end: {answers}")


async def _message(sdk: Sdk, asked: dict[str, Any], *, stream: bool) -> Any:
    if not stream:
        return await sdk.messages.create(**asked)
    async with sdk.messages.stream(**asked) as events:
        return await events.get_final_message()


async def by_gemini(job: Job) -> list[SdkAnswer]:
    """Go on over Gemini generations until no tool is called."""
    # Half a second that no other test needs.
    from google import genai  # noqa: PLC0415
    from google.genai import types  # noqa: PLC0415

    answers: list[SdkAnswer] = []
    declared = {"name": "bash", "description": "runs a command", "parameters_json_schema": SCHEMA}
    config: Any = {
        "tools": [{"function_declarations": [declared]}],
        "thinking_config": {"include_thoughts": True},
    }
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text=job.prompt)])]
    # With aiohttp, which it prefers, it raises warnings of aiohttp's about itself.
    http = httpx.AsyncClient()
    options = types.HttpOptions(base_url=job.url, httpx_async_client=http)
    async with http, genai.Client(api_key=KEY, http_options=options).aio as sdk:
        for _ in range(MOST_TURNS):
            asked: dict[str, Any] = {"model": job.model, "contents": contents, "config": config}
            chunks = await _chunks(sdk, asked, stream=job.stream)
            parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
            answers.append(_gemini_answer(chunks, parts))
            contents.append(types.Content(role="model", parts=parts))
            results = [
                types.Part.from_function_response(
                    name="bash", response={"output": job.act(part.function_call.args["command"])}
                )
                for part in parts
                if part.function_call
            ]
            if not results:
                return answers
            contents.append(types.Content(role="user", parts=results))
    raise AssertionError(f"no end: {answers}")


async def _chunks(sdk: Sdk, asked: dict[str, Any], *, stream: bool) -> list[Any]:
    if not stream:
        return [await sdk.models.generate_content(**asked)]
    return [chunk async for chunk in await sdk.models.generate_content_stream(**asked)]


def _gemini_answer(chunks: list[Any], parts: list[Any]) -> SdkAnswer:
    usage = chunks[-1].usage_metadata
    written = usage.candidates_token_count + (usage.thoughts_token_count or 0)
    assert usage.total_token_count == usage.prompt_token_count + written
    text = "".join(part.text or "" for part in parts if not part.thought)
    return SdkAnswer(chunks[-1].response_id, usage.prompt_token_count, written, text)


SPEAKERS: dict[str, Callable[[Job], Awaitable[list[SdkAnswer]]]] = {
    "responses": by_responses,
    "messages": by_messages,
    "gemini.generateContent": by_gemini,
}
