"""The answer to the client: the endpoint's head and bytes, nothing of our own but the call's id."""

from aiohttp import hdrs, web

from cab.proxy.headers import Headers

CALL_ID_HEADER = "x-cab-call-id"
_FRAMING = {"connection", "transfer-encoding"}


class PassedOn(web.StreamResponse):
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


def passed_on(
    status: int, reason: str | None, headers: Headers, *, sized: bool, chunked: bool
) -> PassedOn:
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
    response = PassedOn(status=status, reason=reason, headers=headers)
    if not sized and chunked:
        response.enable_chunked_encoding()
    return response
