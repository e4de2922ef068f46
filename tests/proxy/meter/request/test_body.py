"""Which bodies of requests every endpoint must read as they are read here."""

import gzip
import zlib

import pytest
import zstandard

from cab.proxy.meter import dialect_for
from cab.proxy.meter.request.body import RequestBody, read_body
from cab.proxy.meter.request.canonical import request_hash

CHAT = dialect_for("POST", "/v1/chat/completions")
BODY = b'{"model":"m","stream":true}'
NO_OBJECT = "the request's body is not a JSON object in UTF-8"


def read(body: bytes, encoding: str = "") -> RequestBody:
    return read_body(CHAT, body, encoding)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('{"stream":true}'.encode("utf-16"), NO_OBJECT),
        ('{"stream":true}'.encode("utf-32-le"), NO_OBJECT),
        (b'{"a":"caf\xe9"}', NO_OBJECT),
        (b'{"t":NaN}', NO_OBJECT),
        (b'{"a":1,}', NO_OBJECT),
        (b"[1]", NO_OBJECT),
        (b'{"stream":"true"}', "`stream` is neither true nor false"),
        (b'{"stream":1}', "`stream` is neither true nor false"),
        (b'{"stream":true,"stream":false}', "the member `stream` is repeated"),
        (b'{"model":"a","mod\\u0065l":"b"}', "the member `model` is repeated"),
        (b'{"messages":[{"role":"a","role":"b"}]}', "the member `role` is repeated"),
        (b'{"stream_options":{"include_usage":0}}', "`include_usage` is neither true nor false"),
        (b'{"model":["m"]}', "`model` is not text"),
        (b'{"stream_options":[]}', "`stream_options` is not an object"),
        (b'{"Stream":true}', "the member `Stream` differs from `stream` by its letters only"),
        ('{"\u017ftream":true}'.encode(), "the member `\u017ftream` differs from `stream` by its letters only"),
        (b"[" * 100_000, NO_OBJECT),
    ],
)  # fmt: skip
def test_a_body_that_readers_understand_differently_has_a_fault(body: bytes, fault: str) -> None:
    """Each way in which readers of JSON differ is named."""
    assert read(body).fault == fault
    assert read_body(None, body, "").fault is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":null,"stream_options":null,"n":1}',
        b'{"stream":true,"stream_options":{"include_usage":null}}',
        rb'{"messages":[{"content":"\ud83d"}]}',
        b'{"t":1e400,"n":123456789012345678901234567890}',
        b"",
    ],
)
def test_a_plain_body_has_none(body: bytes) -> None:
    """What SDKs send, half a surrogate pair included, is clear."""
    assert read(body).fault is None


def test_a_byte_order_mark_is_read_past() -> None:
    """The object behind the mark is read; the hash is that of a body that is no JSON text."""
    marked = read(b"\xef\xbb\xbf" + BODY)
    assert (marked.content, marked.fault) == ({"model": "m", "stream": True}, None)
    assert marked.request_hash == request_hash(b"\xef\xbb\xbf" + BODY)


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("zstd", zstandard.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY), mtime=0)),
        ("identity", BODY),
    ],
)
def test_a_compressed_body_is_read(encoding: str, sent: bytes) -> None:
    """What it says and its hash are those of the body without its encoding."""
    assert read(sent, encoding) == read(BODY)
    assert read(BODY).fault is None


@pytest.mark.parametrize(
    ("encoding", "sent", "fault"),
    [
        ("compress", BODY, "the content encoding compress cannot be read here"),
        ("gzip", BODY, "the body does not match its content-encoding"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-16], NO_OBJECT),
    ],
)
def test_a_body_that_cannot_be_decoded_has_a_fault(encoding: str, sent: bytes, fault: str) -> None:
    """An unknown encoding, a wrong one, and one that is cut."""
    assert fault in str(read(sent, encoding).fault)
    assert read_body(None, sent, encoding).content is None


def test_a_body_is_not_decoded_without_bound() -> None:
    """A few hundred kilobytes that decompress to more than a request may be are not read."""
    assert "decompresses to more than" in str(
        read(gzip.compress(bytes(129 << 20), 1), "gzip").fault
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-7",
        'application/json;charset = "UTF-16"',
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset=utf-8, application/json; charset=cp037",
        "application/json; charset*=utf-8''utf-7",
        "application/json; charset*0=ut; charset*1=f-7",
        'application/json; charset="utf\\-7"',
        "application/json; charset=",
        "text/plain; CHARSET=iso-8859-1",
        "application/json; x=" + "charset" * 1000,
    ],
)
def test_other_characters_than_utf_8_are_unclear(content_type: str) -> None:
    """A reader that honours the charset reads other text than stands here."""
    fault = read_body(CHAT, b'{"model":"m"}', "", content_type).fault
    assert fault is not None
    assert "content type" in fault
    assert read_body(None, b"{}", "", content_type).fault is None


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "application/json; charset=UTF-8",
        'text/x; charset="us-ascii"',
        "utf8",
    ],
)
def test_utf_8_is_clear(content_type: str) -> None:
    """These name what the body is, or nothing."""
    assert read_body(CHAT, b'{"model":"m"}', "", content_type).fault is None
