"""Secrets taken out of what is written."""

from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.masking import MIN_SECRET_CHARS, Masker


def test_all_occurrences() -> None:
    """Each secret goes wherever it stands, and all else stays."""
    mask = Masker(["sk-first-secret", None, "second-secret"])

    assert mask(b"a sk-first-secret b second-secretsecond-secret") == (
        b"a [redacted] b [redacted][redacted]"
    )
    assert mask.text("key=second-secret \udce9") == "key=[redacted] \udce9"


def test_longest_first() -> None:
    """A key that begins with another key leaves no tail."""
    assert Masker(["secret-12", "secret-123456"])(b"secret-123456") == b"[redacted]"


def test_placeholders_stay() -> None:
    """A placeholder such as `none` is no secret: it is part of ordinary words."""
    assert Masker(["none", "", None])(b"nonetheless") == b"nonetheless"


@given(st.text("0123456789", min_size=MIN_SECRET_CHARS, max_size=40), st.binary(), st.binary())
def test_never_left(secret: str, before: bytes, after: bytes) -> None:
    """No secret of eight characters or more is left, whatever stands around it."""
    masked = Masker([secret])(before + secret.encode() + after)

    assert secret.encode() not in masked
