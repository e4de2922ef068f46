"""A client of OpenAI responses over a WebSocket that sends and shows every message as it is."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

Event = dict[str, Any]
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
"""Types of the events that end a create."""
PATH = "/v1/responses"


class ResponsesSocket:
    """One connection."""

    def __init__(self, line: ClientConnection) -> None:
        self.line = line

    async def send(self, kind: str, **members: Any) -> None:
        """Send an event of the client."""
        await self.line.send(orjson.dumps({"type": kind, **members}).decode())

    async def create(self, text: str = "hi", **members: Any) -> None:
        """Ask for a response."""
        await self.send("response.create", **{"model": "m", "input": text, **members})

    async def steer(self, target: str, given: Any) -> None:
        """Steer a response."""
        await self.send("response.steer", previous_response_id=target, input=given)

    async def event(self) -> Event:
        """Return the next message, which is JSON."""
        event: Event = orjson.loads(await self.line.recv())
        return event

    async def until(self, *kinds: str) -> list[Event]:
        """Return the events up to the first one of a type."""
        events = [await self.event()]
        while events[-1]["type"] not in kinds:
            events.append(await self.event())
        return events

    async def created(self) -> str:
        """Return the id of a response that begins now."""
        [event] = await self.until("response.created")
        response_id: str = event["response"]["id"]
        return response_id

    async def ended(self) -> Event:
        """Return the event that ends the current create."""
        return (await self.until(*ENDS))[-1]

    async def answer(self, text: str = "hi", **members: Any) -> Event:
        """Ask for a response and return how it ends."""
        await self.create(text, **members)
        return await self.ended()


@asynccontextmanager
async def responses_socket(url: str, **options: Any) -> AsyncGenerator[ResponsesSocket]:
    """Connect to an endpoint, given as its HTTP address, without a limit to a message's length."""
    address = url.replace("http", "ws", 1) + PATH
    options = {"max_size": None, "proxy": None, **options}
    async with connect(address, **options) as line:
        yield ResponsesSocket(line)
