"""Secrets taken out of what is written."""

import base64
import itertools
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.redaction import MIN_SECRET_CHARS, Redactor, StreamRedactor
from cab.proxy.redaction.in_bytes import MOST_HELD_BYTES, PIECE_BYTES
from tests.proxy.meter.test_linear_work import spent


def test_all_occurrences() -> None:
    """Each secret goes wherever it stands, and all else stays."""
    redactor = Redactor(["sk-first-secret", None, "second-secret"])

    assert redactor(b"a sk-first-secret b second-secretsecond-secret") == (
        b"a [redacted] b [redacted][redacted]"
    )
    assert redactor.text("key=second-secret \udce9") == "key=[redacted] \udce9"


def test_longest_first() -> None:
    """A key that begins with another key leaves no tail."""
    assert Redactor(["secret-12", "secret-123456"])(b"secret-123456") == b"[redacted]"


def test_placeholders_stay() -> None:
    """A placeholder such as `none` is no secret: it is part of ordinary words."""
    assert Redactor(["none", "", None])(b"nonetheless") == b"nonetheless"


@given(st.text("0123456789", min_size=MIN_SECRET_CHARS, max_size=40), st.binary(), st.binary())
def test_never_left(secret: str, before: bytes, after: bytes) -> None:
    """No secret of eight characters or more is left, whatever stands around it."""
    redacted = Redactor([secret])(before + secret.encode() + after)

    assert secret.encode() not in redacted


PIECES = st.lists(
    st.binary(max_size=12) | st.sampled_from([b"sk-aabbcc", b"aabb", b"bbcc", b"sk-"])
)


@given(PIECES)
def test_split_over_pieces(pieces: list[bytes]) -> None:
    """However a text is cut, the pieces come out redacted as the whole of it would."""
    redactor = Redactor(["sk-aabbcc-1"])
    stream = StreamRedactor(redactor)

    out = b"".join(stream.feed(piece) for piece in pieces) + stream.flush()

    assert out == redactor(b"".join(pieces))


@given(st.lists(st.sampled_from([b"abcdefgh", b"ijkl", b"efgh", b"abcd", b"wxyz", b" "])))
def test_overlapping_secrets(pieces: list[bytes]) -> None:
    """Secrets that overlap or begin alike leave nothing of themselves behind either."""
    secrets = ["abcdefgh", "abcdefghijkl", "efghwxyz"]
    stream = StreamRedactor(Redactor(secrets))

    out = b"".join(stream.feed(piece) for piece in pieces) + stream.flush()

    assert not any(secret.encode() in out for secret in secrets)


def test_only_beginnings_wait() -> None:
    """Text that cannot be the beginning of a secret passes at once."""
    stream = StreamRedactor(Redactor(["secret-key"]))

    assert stream.feed(b"the secret") == b"the "
    assert stream.feed(b"s of life") == b"secrets of life"
    assert stream.feed(b"secret-ke") == b""
    assert stream.feed(b"y!") == b"[redacted]!"
    assert stream.feed(b"sec") == b""
    assert stream.flush() == b"sec"


def test_secret_around_the_beginning_of_another() -> None:
    """A secret whose end may be the beginning of another one waits whole."""
    stream = StreamRedactor(Redactor(["abcdefgh", "efghwxyz"]))

    assert stream.feed(b"key abcdefgh") == b"key "
    assert stream.feed(b" end") == b"[redacted] end"


KEY = "sk-Proj/9f8e7d6c+5b4A3"


def broken(text: str) -> bytes:
    return "\r\n  ".join(text[at : at + 7] for at in range(0, len(text), 7)).encode()


FORMS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "in capitals": lambda key: key.upper().encode(),
    "broken by newlines": broken,
    "in JSON": lambda key: json.dumps(key).replace("/", "\\/").encode(),
    "in JSON in JSON": lambda key: json.dumps(
        json.dumps({"key": key}, ensure_ascii=False)
    ).encode(),
    "in a URL": lambda key: quote(key, safe="").lower().encode(),
    "in base64": lambda key: base64.b64encode(f"user:{key}\n".encode()),
    "in base64 for URLs, in lines": lambda key: broken(
        base64.urlsafe_b64encode(f"x{key}".encode()).decode()
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_form_is_left(form: str) -> None:
    """Each form goes, wherever a piece ends, and what is around it stays."""
    redactor = Redactor([KEY])
    written = FORMS[form](KEY)
    text = b"before <" + written + b"> behind"
    whole = redactor(text)

    assert whole.startswith(b"before <")
    assert whole.endswith(b"> behind")
    assert b"[redacted]" in whole
    assert len(whole) < len(text)
    assert Redactor([KEY]).text(whole.decode()) == whole.decode()
    for first, second in itertools.combinations(range(len(text) + 1), 2):
        stream = StreamRedactor(redactor)
        pieces = text[:first], text[first:second], text[second:]
        assert b"".join(map(stream.feed, pieces)) + stream.flush() == whole


def test_in_a_long_text() -> None:
    """A form on the border of two pieces of a long text goes."""
    redactor, form = Redactor([KEY]), FORMS["broken by newlines"](KEY)
    text = b"x" * (PIECE_BYTES - 10) + form + b"y" * PIECE_BYTES + form

    assert redactor(text) == b"x" * (PIECE_BYTES - 10) + b"[redacted]" + b"y" * PIECE_BYTES + (
        b"[redacted]"
    )


@pytest.mark.parametrize("tail", [b" ", b"\\", b"%25", b"sk-Proj/9f8e7d6c"])
def test_what_waits_is_bounded(tail: bytes) -> None:
    """However an agent goes on, no more waits than a beginning and some white space."""
    stream = StreamRedactor(Redactor([KEY]))
    given, out = 0, 0
    for piece in [b"sk-proj/", *[tail] * 6000]:
        given, out = given + len(piece), out + len(stream.feed(piece))
        assert given - out <= MOST_HELD_BYTES + 64


@pytest.mark.parametrize("text", [KEY.encode(), b"sk-proj/\n", b"\\", b"%2", b"plain words "])
def test_work_grows_as_the_output_does(text: bytes) -> None:
    """Ten times of what an agent prints is ten times the work, whatever it prints."""

    def work(times: int) -> None:
        stream = StreamRedactor(Redactor([KEY]))
        printed = text * (times // len(text))
        for at in range(0, len(printed), 4096):
            stream.feed(printed[at : at + 4096])

    for _ in range(4):
        if spent(work, 400_000) < 15 * spent(work, 40_000):
            return
    pytest.fail("the work grows faster than the output")
