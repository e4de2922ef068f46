"""The answer to the client: the endpoint's head and bytes, nothing of our own but the call's id."""

from aiohttp import hdrs, web

from cab.proxy.headers import Headers

CALL_ID_HEADER = "x-cab-call-id"
_ADDED_BY_AIOHTTP = (hdrs.CONTENT_TYPE, hdrs.DATE, hdrs.SERVER)


class PassedOn(web.StreamResponse):
    """A response with just the headers that the endpoint sent.

    aiohttp completes a head with a content type, a date and its own name; where the endpoint sent
    none of these, the client is to see none.
    """

    async def _prepare_headers(self) -> None:
        absent = [name for name in _ADDED_BY_AIOHTTP if name not in self.headers]
        await super()._prepare_headers()
        for name in absent:
            self.headers.popall(name, None)


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
