"""Requests that two parsers could cut or read differently, each with what is wrong with it."""

from tests.tools.raw import chunked, request

PATH = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[]}'
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GOOD = request(PATH, BODY)

UNCLEAR: dict[str, bytes] = {
    "length and chunks": HEAD + LENGTH + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and length": HEAD + CHUNKED + LENGTH + b"\r\n0\r\n\r\n",
    "two lengths": HEAD + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
    "the same length twice": HEAD + LENGTH + LENGTH + b"\r\n" + BODY,
    "a list of lengths": HEAD + b"Content-Length: 27, 27\r\n\r\n" + BODY,
    "a signed length": HEAD + b"Content-Length: +27\r\n\r\n" + BODY,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
    "a hexadecimal length": HEAD + b"Content-Length: 0x1b\r\n\r\n" + BODY,
    "a length with an underscore": HEAD + b"Content-Length: 2_7\r\n\r\n" + BODY,
    "an empty length": HEAD + b"Content-Length:\r\n\r\n" + BODY,
    "a folded header": HEAD + b"X-A: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded length": HEAD + b"X-A: a\r\n Content-Length: 0\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded coding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n" + LENGTH + b"\r\n0\r\n\r\n",
    "bare line feeds": (HEAD + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "one bare line feed": HEAD + b"X-A: a\nX-B: b\r\n" + LENGTH + b"\r\n" + BODY,
    "one bare carriage return": HEAD + b"X-A: a\rX-B: b\r\n" + LENGTH + b"\r\n" + BODY,
    "a space before the colon": HEAD + b"Content-Length : 27\r\n\r\n" + BODY,
    "a tab before the colon": HEAD + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a header without a colon": HEAD + b"X-A\r\n" + LENGTH + b"\r\n" + BODY,
    "a header without a name": HEAD + b": a\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in a value": HEAD + b"X-A: a\0b\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in a name": HEAD + b"X\0A: a\r\n" + LENGTH + b"\r\n" + BODY,
    "a coding that only looks like chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked, but not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": HEAD + CHUNKED + b"\r\nzz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative chunk size": HEAD + CHUNKED + b"\r\n-1\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk size of 20 digits": HEAD + CHUNKED + b"\r\n" + b"f" * 20 + b"\r\n" + BODY,
    "a chunk that is longer than its size": HEAD + CHUNKED + b"\r\n2\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunks that end in bare line feeds": HEAD + CHUNKED + b"\r\n1b\n" + BODY + b"\n0\n\n",
    "a length in the trailers": chunked(PATH, BODY, trailers="Content-Length: 3\r\n"),
    "no host": GOOD.replace(b"Host: localhost\r\n", b""),
    "two hosts": GOOD.replace(b"Host: ", b"Host: a\r\nHost: "),
    "a header of 100 kB": HEAD + b"X-A: " + b"a" * 100_000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "a target of 100 kB": request(f"{PATH}?{'a' * 100_000}", BODY),
    "500 headers": request(PATH, BODY, *(f"X-{n}: 1" for n in range(500))),
    "a space in the target": request("/v1/chat/comple tions", BODY),
    "a control character in the target": request("/v1/\x01", BODY),
    "a target beyond ASCII": request("/v1/caf\u00e9", BODY),
    "a target without a slash": request("v1/chat/completions", BODY),
    "a target with user info": request("@evil.example/v1/chat/completions", BODY),
    "a method that nobody knows": request(PATH, BODY, method="FROB"),
    "a method in lower case": request(PATH, BODY, method="post"),
    "no HTTP version": b"POST /v1/x\n\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the start of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100,
    "no HTTP at all": b"hello\r\n\r\n",
}
