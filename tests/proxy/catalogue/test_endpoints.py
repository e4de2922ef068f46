"""Plays what serving stacks send; the results are what docs/endpoints.md shows."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cab.proxy.meter.dialects.routes import dialect_for
from tests.proxy.catalogue.endpoints import FILE, STACKS, Reading, ServedAnswer, ServingStack, page
from tests.tools.client import post
from tests.tools.dialects import SAMPLES
from tests.tools.proxy import metered
from tests.tools.upstream import (
    LAST_CHUNK,
    Received,
    Step,
    chunk,
    json_answer,
    scripted_upstream,
    sse_head,
)
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

ANSWERS = [(stack, answer) for stack in STACKS for answer in stack.answer]
REQUESTS = {sample.endpoint: sample.request for sample in SAMPLES}


def request_for(answer: ServedAnswer) -> dict[str, Any]:
    """Return a request of the answer's dialect; a stream is asked for without usage."""
    dialect = dialect_for("POST", answer.path)
    assert dialect is not None
    return {**REQUESTS[dialect.name], **({"stream": True} if answer.streamed else {})}


def script(answer: ServedAnswer, request: Received) -> Sequence[Step]:
    """Return what the stack does with a request."""
    if answer.refusal and "stream_options" in request.json:
        return [json_answer(answer.refusal.encode(), answer.refusal_line)]
    if not answer.streamed:
        return [json_answer(answer.wire.encode(), answer.status_line)]
    events = answer.wire.encode().split(b"\n\n")[:-1]
    return [sse_head(), *(chunk(event + b"\n\n") for event in events), LAST_CHUNK]


@pytest.mark.parametrize(
    ("stack", "answer"), ANSWERS, ids=[f"{stack.name}-{answer.label}" for stack, answer in ANSWERS]
)
async def test_stack(
    stack: ServingStack, answer: ServedAnswer, tmp_path: Path, record_property: Any
) -> None:
    """The END record says of a stack's answer what endpoints.toml says, figure by figure."""
    async with (
        asyncio.timeout(60),
        scripted_upstream(lambda request: script(answer, request)) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        seen = await post(meter.url, answer.path, request_for(answer))
        [row] = await meter.settled(1)
    assert (seen.status, row["status"]) == (answer.status, answer.status)
    assert seen.complete
    reading = Reading.of(row)
    assert reading == answer.read
    record_property("stack", stack.name)
    record_property("answer", answer.label)
    record_property("reading", reading.model_dump_json())


def test_no_answer_is_there_twice() -> None:
    """A stack's name and an answer's label name one answer."""
    names = [(stack.name, answer.label) for stack, answer in ANSWERS]
    assert len(set(names)) == len(names)


def test_the_page_of_endpoints_is_as_they_were_read() -> None:
    """docs/endpoints.md is what a run in which all pass writes; else: make catalogue."""
    everything = {(stack.name, answer.label): answer.read for stack, answer in ANSWERS}
    assert FILE.read_text() == page(everything)
