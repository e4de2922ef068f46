"""An endpoint that answers at once: no two heads, ids or counts are alike, and each event says when it left.

    python -m benchmarks.speed.endpoint [--certificate FILE]

It prints its port, and the one with TLS if it has a certificate. The member `user` of a request says how
to answer: a number, then ` events=50 rate=50` for a stream and its events per second, then
` fault=server_error|rate_limited|cut|slow|close|no_usage`.
"""

import argparse
import asyncio
import itertools
import re
import ssl
import time
from functools import partial
from typing import cast

import uvloop

from benchmarks.speed.messages import MODEL, content_length
from benchmarks.speed.processes import allow_many_files

SLOW_S = 0.5
_OPTIONS = re.compile(rb'"user": ?"\d+(?: events=(\d+) rate=([\d.]+))?(?: fault=(\w+))?"')
_ERRORS = {b"server_error": b"500 Internal Server Error", b"rate_limited": b"429 Too Many Requests"}
_HEAD = (
    b"HTTP/1.1 %b\r\nDate: Mon, 30 Nov 2026 10:00:%02d GMT\r\nContent-Type: %b\r\nServer: bench\r\n"
    b"OpenAI-Processing-Ms: %d\r\nX-Request-Id: req_%032x\r\nX-RateLimit-Remaining-Requests: %d\r\n"
)
_CHUNK = (
    b'{"id":"chatcmpl-%024x","object":"chat.completion.chunk","created":1795180000,"model":"'
    + (MODEL.encode() + b'","system_fingerprint":"fp_560af6e559","choices":[%b],"usage":%b}')
)
_DELTA = b'{"index":0,"delta":{"content":" t%d"},"logprobs":null,"finish_reason":null}'
_STOP = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}'
_WHOLE = (
    b'{"id":"chatcmpl-%024x","object":"chat.completion","created":1795180000,"model":"'
    + MODEL.encode()
) + (
    b'","choices":[{"index":0,"message":{"role":"assistant","content":"%b","refusal":null},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":%b,"system_fingerprint":"fp_560af6e559"}'
)
_USAGE = b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}'
_TEXT = b"The function adds up the prices of all lines. " * 8
_numbers = itertools.count(1)


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's, they only act like them.
        self._transport, self._got = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        self._got = got = self._got + data
        while (end := got.find(b"\r\n\r\n")) >= 0:
            whole = end + 4 + (content_length(got[: end + 2]) or 0)
            if len(got) < whole:
                break
            options = _OPTIONS.search(got, max(end, whole - 300), whole)
            self._got = got = got[whole:]
            self._answer(*(options.groups() if options else (None, None, None)))

    def _answer(self, events: bytes | None, rate: bytes | None, fault: bytes | None) -> None:
        if fault == b"slow":
            answer = partial(self._answer, events, rate, None)
            asyncio.get_running_loop().call_later(SLOW_S, answer)
        elif events and rate and fault not in _ERRORS:
            Stream(self._transport, int(events), float(rate), fault)
        else:
            self._whole(fault)

    def _whole(self, fault: bytes | None) -> None:
        number = next(_numbers)
        status = _ERRORS.get(fault or b"", b"200 OK")
        body = b'{"error":{"message":"fault %d","type":"fault"}}' % number
        if fault not in _ERRORS:
            body = _WHOLE % (number, _TEXT, b"null" if fault == b"no_usage" else _usage(number))
        missing = 10 if fault == b"cut" else 0
        head = _head(number, status, b"application/json")
        self._transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body) + missing, body))
        if fault in (b"cut", b"close"):
            self._transport.close()


class Stream:
    """One answer of events, at their pace; the first goes at once."""

    __slots__ = ("_due_s", "_fault", "_interval_s", "_left", "_loop", "_number", "_transport")

    def __init__(
        self, transport: asyncio.Transport, events: int, rate: float, fault: bytes | None
    ) -> None:
        self._transport, self._fault, self._left = transport, fault, events
        self._number, self._interval_s = next(_numbers), 1 / rate
        self._loop = asyncio.get_running_loop()
        self._due_s = self._loop.time()
        head = _head(self._number, b"200 OK", b"text/event-stream")
        self._send(head + b"Transfer-Encoding: chunked\r\n\r\n")

    def _send(self, before: bytes = b"") -> None:
        if self._transport.is_closing():
            return
        choice = _DELTA % time.monotonic_ns()
        event = _event(_CHUNK % (self._number, choice, b"null"))
        self._left -= 1
        if self._left == 0:
            self._end(before + event)
            return
        self._transport.write(before + event)
        self._due_s += self._interval_s
        self._loop.call_at(self._due_s, self._send)

    def _end(self, last: bytes) -> None:
        if self._fault == b"cut":
            self._transport.write(last)
            self._transport.close()
            return
        stop = _event(_CHUNK % (self._number, _STOP, b"null"))
        usage = _event(_CHUNK % (self._number, b"", _usage(self._number)))
        counted = b"" if self._fault == b"no_usage" else usage
        self._transport.write(last + stop + counted + _event(b"[DONE]") + b"0\r\n\r\n")
        if self._fault == b"close":
            self._transport.close()


def _head(number: int, status: bytes, content_type: bytes) -> bytes:
    return _HEAD % (status, number % 60, content_type, number % 997, number, number % 10_000)


def _usage(number: int) -> bytes:
    prompt, completion = 100 + number % 4000, 1 + number % 900
    return _USAGE % (prompt, completion, prompt + completion)


def _event(data: bytes) -> bytes:
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


async def serve(certificate: str | None) -> None:
    """Listen, and print the ports."""
    loop = asyncio.get_running_loop()
    contexts: list[ssl.SSLContext | None] = [None]
    if certificate:
        contexts.append(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        contexts[1].load_cert_chain(certificate)  # type: ignore[union-attr]
    servers = [
        await loop.create_server(Connection, "127.0.0.1", 0, ssl=context, backlog=4096)
        for context in contexts
    ]
    print("ports", *(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", help="PEM file with a key and a certificate")
    allow_many_files()
    uvloop.run(serve(parser.parse_args().certificate))
