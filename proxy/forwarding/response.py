"""The answer to the client: the endpoint's head and bytes, nothing of our own but the call's id."""

import re

import aiohttp
from aiohttp import hdrs, web

from cab.proxy.forwarding.upstream import name_failure
from cab.proxy.http.headers import Headers

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


def checked(answer: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
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


def passed_on(
    status: int, reason: str | None, headers: Headers, *, sized: bool, chunked: bool
) -> ForwardedResponse:
    """Return the response that passes an endpoint's answer on, not yet prepared.

    Args:
        status: The endpoint's status.
        reason: Its reason phrase.
        headers: End-to-end headers of its answer.
        sized: Whether the body goes out in the length that the endpoint announced.
        chunked: Whether the client understands chunks (HTTP/1.1).
    """
    if not sized:
        headers.popall(hdrs.CONTENT_LENGTH, None)
    response = ForwardedResponse(status=status, reason=reason, headers=headers)
    if not sized and chunked:
        response.enable_chunked_encoding()
    return response
