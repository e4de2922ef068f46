r"""Texts of agents, models and tasks as a page can show them.

Escaping for HTML is done by the templates. What is done here is the rest: characters that nobody sees,
or that change the order of what everybody sees, get a visible form.

>>> visible("rm\u202e -rf\x1b[2J")
'rm[U+202E] -rf␛[2J'
"""

import re

from cab.scoring.printable import UNSEEN


def visible(text: str) -> str:
    """Return a text in which each character is seen; line ends are newlines."""
    if text.isascii() and text.isprintable():
        return text
    return UNSEEN.sub(_shown, text.replace("\r\n", "\n"))


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # its picture: ␀ to ␟
    return "␡" if code == 0x7F else f"[U+{code:04X}]"


def cut(text: str, most_chars: int) -> str:
    """Return a text, or its beginning if it is longer than that."""
    return text if len(text) <= most_chars else f"{text[:most_chars]} …"
