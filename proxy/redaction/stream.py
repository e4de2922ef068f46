"""Secrets taken out of bytes that come in pieces: a secret may be split over two of them."""

from cab.proxy.redaction.redactor import Redactor


class StreamRedactor:
    """Redacts bytes that come in pieces as the whole of them would be redacted.

    A secret that more than 4 KiB of white space break is found in no form.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._secrets = redactor.in_bytes
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be passed on by now; what may be the beginning of a secret waits."""
        done, self._held = self._secrets.split(self._held + data, last=False)
        return done

    def flush(self) -> bytes:
        """Return what was held back: nothing follows any more."""
        data, self._held = self._held, b""
        return self._secrets.redacted(data)
