"""Folders of the machine that a cell ran on, named by what they are: one rule for bundles and pages.

The workspace is `<workspace>`, the agent's HOME `<home>`, another folder of the run is below `<run>`, a
user's own home is `~`, and this package's code is below `<cab>`. Folders of a run are found by their
names, which no other folder has: so older bundles, and those of other machines, are read alike.

>>> without_places("open /tmp/cab-aider-x-1a2b3c4d/workdir/a.py and /home/jo/x")
'open <workspace>/a.py and ~/x'
"""

import re
from collections.abc import Mapping
from typing import cast

import orjson

# In JSON within a text, a path may follow or end at an escape such as `\n`.
_START = r"(?:(?<![\w.~-])|(?<=\\[nrt]))"
_END = r"(?=[/\s\"'`:,;|<>()\\]|\Z)"
_NAME = r"[^/\s\"'`:,;|<>()\\]+"
_RUN = re.compile(
    rf"{_START}(?:/{_NAME}){{0,12}}?/(?:cab|codingagentbench)-"
    rf"(?:{_NAME}/(?P<part>workdir|home){_END}|(?:{_NAME}-)?[a-z0-9_]{{8}}{_END})"
)
# Some agents make one name of a workspace's path, for a folder of their own.
_SLUG = re.compile(
    r"(?<=/)-(?:[A-Za-z0-9]{1,40}-){0,8}cab-[A-Za-z0-9-]{1,200}-(?P<part>workdir|home)(?![\w-])"
)
_HOME = re.compile(rf"{_START}/(?:(?:home|Users)/{_NAME}|root){_END}")
_INSTALLED = re.compile(rf"{_START}(?:/{_NAME}){{1,40}}/(?:cab/adapters/|(?=cab/agents/))")
_PARTS = {"workdir": "<workspace>", "home": "<home>", None: "<run>"}


def without_run_folders(text: str) -> str:
    """Return a text without folders of a run; all other paths stay, as in the agent's own work."""
    return _SLUG.sub(_part, _RUN.sub(_part, text)) if "/" in text else text


def without_places(text: str) -> str:
    """Return a text without folders of a machine: those of a run, homes of users, our own code."""
    if "/" not in text:
        return text
    return _HOME.sub("~", _INSTALLED.sub("<cab>/", without_run_folders(text)))


def output_without_places(output: bytes) -> bytes:
    """Return what an agent printed without folders of the machine; other bytes stay as they are."""
    return _encoded(without_places(_decoded(output)))


def patch_without_places(patch: bytes) -> bytes:
    """Return a patch without folders of the run, as many lines as before."""
    return _encoded(without_run_folders(_decoded(patch)))


def recording_without_places(recording: bytes) -> bytes:
    """Return a recording, asciicast v2, whose texts are without folders of the machine."""
    return b"".join(map(_recorded, recording.splitlines(keepends=True)))


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


def _part(match: re.Match[str]) -> str:
    return _PARTS[match["part"]]


def _recorded(line: bytes) -> bytes:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return output_without_places(line)
    return orjson.dumps(evidence(event), option=orjson.OPT_APPEND_NEWLINE)


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
