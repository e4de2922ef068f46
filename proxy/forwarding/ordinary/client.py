"""The client of a call on our own wire."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from cab.proxy.forwarding.exchange import Exchange
from cab.proxy.forwarding.response import Client
from cab.proxy.http.headers import Headers
from cab.proxy.http.wire.client_connection import OrdinaryConnection
from cab.proxy.http.wire.request_head import RequestHead


class DirectClient(Client):
    """A client whose connection is an ordinary one.

    Args:
        connection: Its connection.
        head: The head of its request.
        call_id: As for `Client`.
        on_gone: As for `Client`.
        is_chunked: How its answer is framed, if that has begun; else None.
        is_held: Whether it does not keep up.
    """

    def __init__(  # noqa: PLR0913 - of a call that may have begun already
        self,
        connection: OrdinaryConnection,
        head: RequestHead,
        call_id: str,
        on_gone: Callable[[], None],
        *,
        is_chunked: bool | None = None,
        is_held: bool = False,
    ) -> None:
        super().__init__(head, call_id, on_gone)
        self.begun = is_chunked is not None
        self._connection = connection
        self._transport = connection.transport
        self._is_chunked = bool(is_chunked)
        self._is_whole = False
        self._paused: asyncio.Future[None] | None = None
        if is_held:
            self.hold()

    def hold(self) -> None:
        """Wait before more is sent: the client does not keep up."""
        if self._paused is None:
            self._paused = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """Go on: the client has kept up, or has gone."""
        if self._paused is not None:
            if not self._paused.done():
                self._paused.set_result(None)
            self._paused = None

    def left(self) -> None:
        """Take note that the client has gone."""
        self.resume()
        super().left()

    def abort(self) -> None:
        """Close the connection."""
        self._transport.close()

    def finish(self) -> None:
        """Let the next request be served, if this one was answered as a whole."""
        if not self._is_whole:
            self._transport.close()
        elif not self.gone:
            self._connection.finished()

    async def _begin(self, status: int, reason: str, headers: Headers, *, sized: bool) -> None:
        self._is_chunked = not sized
        self._connection.write(head_bytes(status, reason, headers, is_chunked=self._is_chunked))
        await self._drained()

    async def _write(self, data: bytes) -> None:
        self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        await self._drained()

    async def _write_end(self) -> None:
        if self._is_chunked:
            self._connection.write(b"0\r\n\r\n")
        self._is_whole = True
        await self._drained()

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        lines = Headers({**headers, "Content-Length": str(len(body))})
        phrase = HTTPStatus(status).phrase
        self._connection.write(head_bytes(status, phrase, lines, is_chunked=False) + body)
        self._is_whole = True

    async def _drained(self) -> None:
        if self._paused is not None:
            await asyncio.shield(self._paused)


class DirectCall:
    """A call on our own wire that runs as a task.

    Args:
        exchange: The call.
        task: Runs it.
    """

    def __init__(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._exchange = exchange
        task.add_done_callback(self._done)

    @property
    def is_unanswered(self) -> bool:
        """Whether no byte of the answer is out."""
        return not self._exchange.client.begun

    def client_left(self) -> None:
        """Take note that the connection is gone."""
        self._exchange.client_left()

    def hold(self) -> None:
        """Send nothing more until `resume`."""
        if isinstance(client := self._exchange.client, DirectClient):
            client.hold()

    def resume(self) -> None:
        """Go on sending."""
        if isinstance(client := self._exchange.client, DirectClient):
            client.resume()

    def _done(self, _task: asyncio.Task[None]) -> None:
        if isinstance(client := self._exchange.client, DirectClient):
            client.finish()


def head_bytes(status: int, reason: str, headers: Headers, *, is_chunked: bool) -> bytes:
    """Return the head of an answer."""
    lines = [
        f"HTTP/1.1 {status} {reason}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if is_chunked:
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape")
