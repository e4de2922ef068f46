"""The answer to the client: the endpoint's head and bytes, and of the proxy only the call's id."""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict

from cab.proxy.forwarding.addresses import Addresses
from cab.proxy.forwarding.answers import EndpointAnswer
from cab.proxy.forwarding.failures import name_failure
from cab.proxy.http.error_responses import ErrorResponse, body_for, headers_for, shape_of
from cab.proxy.http.headers import Headers, response_headers
from cab.proxy.http.request import HttpRequest
from cab.proxy.ledger.capture.call_tap import CallTap
from cab.scoring.ledger.records import Endpoint

CALL_ID_HEADER = "x-cab-call-id"
_FRAMING = {"connection", "transfer-encoding"}
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class ForwardedResponse(web.StreamResponse):
    """A response with just the headers that the endpoint sent, and what its framing here needs.

    aiohttp completes a head with a content type, a date and its own name, and takes the length out
    of a 304; the client is to see what the endpoint sent.
    """

    async def _prepare_headers(self) -> None:
        sent = self.headers.copy()
        await super()._prepare_headers()
        framing = [(k, v) for k, v in self.headers.items() if k.lower() in _FRAMING]
        self.headers.clear()
        self.headers.extend(sent)
        self.headers.extend(framing)


def _nobody_listens() -> None:
    pass


class Client(ABC):
    """The client of a call: what it is answered, and whether it is still there.

    Args:
        request: Its request.
        call_id: The call's id, for a header of the answer.
        on_gone: Called once, when it turns out that the client has gone.
    """

    def __init__(self, request: HttpRequest, call_id: str, on_gone: Callable[[], None]) -> None:
        self.request = request
        self.gone = False
        self.begun = False
        """Whether its answer has a head."""
        self.tap: CallTap | None = None
        """Keeps the answer; None if it is not kept."""
        self._call_id = call_id
        self._on_gone = on_gone

    def left(self) -> None:
        """Take note that the client has gone: nothing is sent any more."""
        if not self.gone:
            self.gone = True
            self._on_gone()

    def forget_call(self) -> None:
        """Tell nobody any more when the client goes: its call is over.

        The client is a part of its call. If it kept the way back, both would wait for the garbage
        collector, with all that the call holds.
        """
        self._on_gone = _nobody_listens

    async def send_head(
        self, answer: EndpointAnswer, addresses: Addresses, *, may_alter: bool
    ) -> None:
        """Pass the head of the endpoint's answer on.

        Args:
            answer: The answer.
            addresses: Of the endpoint: they are not passed on.
            may_alter: Whether its body may become shorter, so that no length can be promised.
        """
        if self.gone and self.tap is None:
            return
        headers = response_headers(answer.headers)
        headers = addresses.hidden(answer.url, headers)
        if self.tap is not None:
            self.tap.head(answer.status, headers)
        if self.gone:
            return
        headers[CALL_ID_HEADER] = self._call_id
        bodiless = self.request.method == "HEAD" or answer.status in {204, 304}
        sized = bodiless or (answer.content_length is not None and not may_alter)
        if not sized:
            headers.popall(hdrs.CONTENT_LENGTH, None)
        self.begun = True
        await self._begin(answer.status, answer.reason, headers, sized=sized)

    async def send(self, data: bytes) -> None:
        """Pass bytes of the body on."""
        if self.tap is not None:
            self.tap.feed(data)
        if data and self.begun and not self.gone:
            await self._write(data)

    async def send_end(self) -> None:
        """End the body as a whole one."""
        if self.tap is not None:
            self.tap.ended()
        if self.begun and not self.gone:
            await self._write_end()

    def respond(self, endpoint: Endpoint, error: ErrorResponse) -> None:
        """EndpointAnswer with an error of the proxy."""
        headers = {**headers_for(error), CALL_ID_HEADER: self._call_id}
        self.begun = True
        body = body_for(shape_of(endpoint, self.request.headers), error)
        if self.tap is not None:
            self.tap.head(error.status, CIMultiDict(headers))
            self.tap.feed(body)
            self.tap.ended()
        self._respond(error.status, headers, body)

    @abstractmethod
    def abort(self) -> None:
        """Close the connection without the bytes that would make the answer look complete."""

    @abstractmethod
    async def _begin(self, status: int, reason: str, headers: Headers, *, sized: bool) -> None: ...

    @abstractmethod
    async def _write(self, data: bytes) -> None: ...

    @abstractmethod
    async def _write_end(self) -> None: ...

    @abstractmethod
    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None: ...


class AiohttpClient(Client):
    """A client whose connection aiohttp serves.

    Args:
        request: Its request.
        call_id: As for `Client`.
        on_gone: As for `Client`.
    """

    def __init__(self, request: web.BaseRequest, call_id: str, on_gone: Callable[[], None]) -> None:
        super().__init__(request, call_id, on_gone)
        self._web_request = request
        self.response: web.StreamResponse | None = None
        """Its answer, once that has a head."""

    def abort(self) -> None:
        """Close the connection."""
        if self._web_request.transport is not None:
            self._web_request.transport.close()

    async def _begin(self, status: int, reason: str, headers: Headers, *, sized: bool) -> None:
        request = self._web_request
        response = ForwardedResponse(status=status, reason=reason, headers=headers)
        if not sized and request.version >= (1, 1):
            response.enable_chunked_encoding()
        if "Upgrade" in request.headers:
            # aiohttp loses what a client sends right behind an upgrade that is not taken up: the
            # client must know that nothing more is read here.
            response.force_close()
        self.response = response
        await self._sent(response.prepare(request))

    async def _write(self, data: bytes) -> None:
        if self.response is not None:
            await self._sent(self.response.write(data))

    async def _write_end(self) -> None:
        if self.response is not None:
            await self._sent(self.response.write_eof())

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.response = web.Response(status=status, headers=headers, body=body)

    async def _sent(self, sending: Awaitable[object]) -> None:
        try:
            await sending
        except ConnectionError:
            self.left()


_T = TypeVar("_T", EndpointAnswer, aiohttp.ClientResponse)


def checked(answer: _T) -> _T:
    """Return an endpoint's answer, whose head can be passed on.

    aiohttp reads control characters in a head and refuses to write them.

    Raises:
        UpstreamFailed: There are some; the answer is closed.
    """
    texts = [(answer.reason or "").encode(errors="replace")]
    texts += [part for header in answer.raw_headers for part in header]
    if not any(_CONTROL.search(text) for text in texts):
        return answer
    answer.close()
    raise name_failure(aiohttp.ClientError(), answer.url.authority)
