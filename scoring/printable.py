"""Texts as a terminal can show them and a spreadsheet can take them, and counts in sentences."""

import re

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""All that is not seen but newline and tab; surrogates and noncharacters are no text at all."""

_FORMULA = ("=", "@", "+", "-", "\t", "\r", "\n", "\uff1d", "\uff20", "\uff0b", "\uff0d")
_NUMBER = re.compile(r"[+-]?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")


def printable(text: str) -> str:
    r"""Return a text with escapes in place of what steers a terminal, or is not seen there.

    These are control characters of any kind, marks that turn the order of letters, and the characters
    that pages make visible too.

    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    >>> print(printable("filler\u3164"))
    filler\u3164
    """
    if text.isprintable() and (text.isascii() or not UNSEEN.search(text)):
        return text
    return "".join(
        char
        if char.isprintable() and not UNSEEN.match(char)
        else char.encode("unicode_escape", "backslashreplace").decode()
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


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and what it counts, in the singular for 1.

    Args:
        number: How many.
        one: The word for one of them.
        many: The word for several; None adds an s.

    >>> counted(1, "call"), counted(1200, "call"), counted(0, "retry", "retries")
    ('1 call', '1,200 calls', '0 retries')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
