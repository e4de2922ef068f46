"""A request to the endpoint, as bytes."""

import re
from collections.abc import Iterable

from yarl import URL

_TARGET = re.compile(rb"[!-~]+")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_JOINED_BYTES = 1 << 14
"""A smaller body is copied behind the head: one write is cheaper than two buffers."""
_NO_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def request_bytes(
    method: str, url: URL, headers: Iterable[tuple[str, str]], body: bytes
) -> tuple[bytes, ...] | None:
    """Return the parts of a request; None if it has no form that all servers read alike.

    Args:
        method: HTTP method.
        url: Where it goes.
        headers: All headers but `Host` and `Content-Length`.
        body: The body, empty if there is none.
    """
    head = request_head_bytes(method, url, headers)
    if head is None:
        return None
    if not body and method.upper() in _NO_BODY:
        return (head + b"\r\n",)
    return with_body(head, body)


def with_body(head: bytes, body: bytes) -> tuple[bytes, ...]:
    """Return the parts of a request with a body."""
    head = b"%bContent-Length: %d\r\n\r\n" % (head, len(body))
    return (head + body,) if len(body) < _JOINED_BYTES else (head, body)


def request_head_bytes(method: str, url: URL, headers: Iterable[tuple[str, str]]) -> bytes | None:
    """Return the head of a request as far as it does not depend on the body; see `request_bytes`."""
    lines = [f"{method} {url.raw_path_qs} HTTP/1.1", f"Host: {_host(url)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    try:
        raw = [line.encode("utf-8", "surrogateescape") for line in lines]
    except UnicodeEncodeError:
        return None
    first, *others = raw
    if not _NAME.fullmatch(method.encode()) or not _TARGET.fullmatch(first.split(b" ")[1]):
        return None
    for line in others:
        name, _, value = line.partition(b": ")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
    return b"\r\n".join((*raw, b""))


def _host(url: URL) -> str:
    """Return the value of `Host`, with the port if it is not the usual one."""
    host = url.host_subcomponent or ""
    return host if url.is_default_port() or url.port is None else f"{host}:{url.port}"
