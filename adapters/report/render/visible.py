r"""Texts of agents, models and tasks as a page can show them.

Escaping for HTML is done by the templates. What is done here is the rest: characters that nobody sees,
or that change the order of what everybody sees, get a visible form; and places of the machine that
the cell ran on are named by what they are.

>>> visible("rm\u202e -rf\x1b[2J")
'rm[U+202E] -rf␛[2J'
"""

import re
from collections.abc import Mapping
from typing import cast

from cab.scoring.printable import UNSEEN

_HOME = re.compile(
    r"(?<![\w.~-])/(?:(?:home|Users)/[^/\s\"'`:,;|<>()]+|root)(?=[/\s\"'`:,;|<>()]|\Z)"
)
_SCRATCH = re.compile(
    r"(?<![\w.~-])(?:/[^/\s\"'`:,;|<>()]+)+/(workdir|home)(?=[/\s\"'`:,;|<>()]|\Z)"
)
_SCRATCH_NAME = re.compile(r"/(?:cab|codingagentbench)-[^/]+/(?:workdir|home)\Z")
_INSTALLED = re.compile(r"(?<![\w.~-])(?:/[^/\s\"'`:,;|<>()]+)+/(?:cab/adapters/|(?=cab/agents/))")


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


def without_places(text: str) -> str:
    """Return a text in which folders of a run's machine are named by what they are.

    The workspace is `{workdir}`, the agent's HOME `{home}`, a user's own home `~`.

    >>> without_places("open /tmp/cab-aider-x-1a2b3c4d/workdir/a.py and /home/jo/x")
    'open {workdir}/a.py and ~/x'
    """
    if "/" not in text:
        return text
    text = _SCRATCH.sub(_scratch, text)
    return _HOME.sub("~", _INSTALLED.sub("{cab}/", text))


def _scratch(match: re.Match[str]) -> str:
    return f"{{{match[1]}}}" if _SCRATCH_NAME.search(match[0]) else match[0]


def evidence(value: object) -> object:
    """Return parsed JSON in which all texts, names of members included, are without places."""
    if isinstance(value, str):
        return without_places(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {without_places(key): evidence(each) for key, each in items}
    if isinstance(value, list):
        return [evidence(each) for each in cast("list[object]", value)]
    return value
