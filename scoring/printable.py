"""Texts from outside as a terminal can show them and a spreadsheet can take them."""

import re

_FORMULA = ("=", "@", "+", "-", "\t", "\r", "\n", "\uff1d", "\uff20", "\uff0b", "\uff0d")
_NUMBER = re.compile(r"[+-]?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")


def printable(text: str) -> str:
    r"""Return a text with escapes in place of what steers a terminal: control characters of any kind.

    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def csv_text(value: object) -> object:
    """Return a value for one field of CSV: a text that a spreadsheet would compute gets a `'` before it.

    Numbers stay numbers, also as text.

    >>> csv_text("=1+1"), csv_text("-0.5"), csv_text(-2), csv_text("a=b")
    ("'=1+1", '-0.5', -2, 'a=b')
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"
