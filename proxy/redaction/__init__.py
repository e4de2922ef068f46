"""Secrets taken out of texts before they are written anywhere.

Known secrets are found wherever they stand, in the forms of `secret_forms`. Unknown ones are found by
their shape (`key_shapes`). A text is redacted first and cut afterwards: a part of a key would not be
found.
"""

from cab.proxy.redaction.key_shapes import REDACTED, is_secret_name
from cab.proxy.redaction.redactor import MIN_SECRET_CHARS, Redactor
from cab.proxy.redaction.stream import StreamRedactor

__all__ = ["MIN_SECRET_CHARS", "REDACTED", "Redactor", "StreamRedactor", "is_secret_name"]
