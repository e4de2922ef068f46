"""The members of a form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter.request.form import form_members
from tests.proxy.meter.drive import meter_for

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="model"\r\n\r\n%s\r\n'
    b"--x\r\ncontent-disposition: form-data; name=model\r\nContent-Type: text/plain\r\n\r\nwhisper-1\r\n"
    b'--x\r\nContent-Disposition: form-data; name="stream"\r\n\r\nTrue\r\n--x--\r\n'
)


@given(st.binary(max_size=50))
def test_a_file_is_stepped_over(file: bytes) -> None:
    """Whatever a file holds, but for the boundary, the members around it are read."""
    file = file.replace(b"--x", b"")
    assert form_members(FORM % file) == {"model": "whisper-1", "stream": True}


def test_a_file_may_hold_what_a_delimiter_begins_with() -> None:
    """Only a whole delimiter line ends a part, and an empty file is one."""
    members = {"model": "whisper-1", "stream": True}
    assert form_members(FORM % b"\r\n--xylophone\r\n") == members
    assert form_members(FORM % b"") == members


@given(st.integers(0, len(FORM) - 4))
def test_half_a_form_is_none(end: int) -> None:
    """A form without its end is not understood."""
    assert form_members(FORM[:end]) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read(body: bytes) -> None:
    """Nothing raises."""
    form_members(body)
    form_members(b"--x\r\n" + body)


def test_a_repeated_name_makes_it_none_and_a_long_value_is_left_out() -> None:
    """Readers differ in which of two counts; a file is never taken for a model's name."""
    part = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n'
    assert form_members(part % b"a" + part % b"b" + b"--x--") is None
    assert form_members(part % (b"a" * 2000) + b"--x--") == {}


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/v1/audio/transcriptions", FORM % b"", None),
        ("/v1/images/edits", b'{"model":"whisper-1","stream":true}', None),
        (
            "/v1/images/edits",
            b"--x",
            "the request's body is not a JSON object in UTF-8, and no form",
        ),
        ("/v1/chat/completions", FORM % b"", "the request's body is not a JSON object in UTF-8"),
    ],
)
def test_only_uploads_are_forms(path: str, body: bytes, error: str | None) -> None:
    """The facts come from a form where the dialect has forms, and from JSON everywhere."""
    facts = meter_for(path, body).request
    assert facts.body_fault == error
    assert (facts.model, facts.stream) == (("whisper-1", True) if error is None else (None, None))
