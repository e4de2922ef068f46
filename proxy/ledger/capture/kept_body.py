"""What of a body is kept: decoded, redacted, cut into parts."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from cab.proxy.ledger.capture.cutting import cut
from cab.proxy.ledger.capture.spread import without_spread_secrets
from cab.proxy.meter.content_decoding import BadEncoding, Decoder
from cab.proxy.redaction import REDACTED, Redactor
from cab.proxy.redaction.key_shapes import without_keys_in_name

_MARK = REDACTED.encode()
_PIECE_BYTES = 1 << 16
EVENT_LINES = "application/x-ndjson"
"""Media type of the events of a WebSocket, one in a line."""


class SentBody(NamedTuple):
    """A body as it came."""

    data: bytes | None
    """None if it was too large, or there was no room for it."""
    bytes: int | None
    """How large it was; None if that is not known."""
    media_type: str | None
    content_encoding: str
    """Empty if there is none."""
    is_whole: bool
    """Whether it came to its end."""
    note: str | None = None
    """Why it is not here."""


class KeptBody(NamedTuple):
    """A body as it is kept."""

    parts: list[bytes] | None
    """None if nothing of it is."""
    sha256: str | None
    bytes: int | None
    is_whole: bool
    redactions: int
    note: str | None
    names: Sequence[str] = ()
    """The digests of the parts."""


def kept_body(body: SentBody, redactor: Redactor, max_bytes: int) -> KeptBody:
    """Return what of a body is kept; it never raises.

    Args:
        body: The body.
        redactor: Takes the secrets out of it.
        max_bytes: A larger one is not kept.
    """
    if body.data is None:
        return KeptBody(None, None, body.bytes, False, 0, body.note)
    data = body.data
    if body.content_encoding:
        try:
            data = _decoded(data, body.content_encoding, max_bytes)
        except BadEncoding as error:
            # Nobody can take secrets out of what nobody can read.
            note = f"its content encoding was not undone: {error}"
            return KeptBody(None, None, len(data), False, 0, note)
    if len(data) > max_bytes:
        return KeptBody(None, None, len(data), False, 0, f"it has more than {max_bytes} bytes")
    clean = without_spread_secrets(redactor(data), redactor)
    clean = b"".join(map(_without_key_shapes, _pieces(clean)))
    redactions = max(0, clean.count(_MARK) - data.count(_MARK)) if clean != data else 0
    digest = sha256(clean).hexdigest()
    parts = cut(clean)
    names = [sha256(part).hexdigest() for part in parts]
    return KeptBody(parts, digest, len(clean), body.is_whole, redactions, body.note, names)


def _without_key_shapes(piece: bytes) -> bytes:
    # Each byte is one character, so that all others stay as they are.
    return without_keys_in_name(piece.decode("latin-1")).encode("latin-1")


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yield data in pieces that end at a quotation mark, which no key has: a long search stops all threads."""
    start = 0
    while start < len(data):
        end = data.find(b'"', start + _PIECE_BYTES) + 1 or len(data)
        yield data[start:end]
        start = end


def _decoded(data: bytes, content_encoding: str, max_bytes: int) -> bytes:
    """Return a body as it was before it was encoded.

    Raises:
        BadEncoding: It is not what the header says, or in an encoding that is not known.
    """
    decoder = Decoder(content_encoding, max_bytes)
    if decoder.unknown and not _is_text(data):  # some servers name a charset there
        raise BadEncoding(f"{', '.join(decoder.unknown)} is not known")
    return data if decoder.is_identity else b"".join(decoder.decode(data))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
