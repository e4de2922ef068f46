"""Secrets taken out of what is written."""

from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.redaction import MIN_SECRET_CHARS, Redactor, StreamRedactor


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
