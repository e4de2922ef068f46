"""How a path is read: one form for all the ways in which endpoints let a path be written.

Real clients send `/v1//chat/completions`, `meta%2Fllama-3` and `models/org/x:generateContent`, so
paths are compared in a plain form, and forwarded as they came. What an endpoint could take for
another path than the one that is read here has a fault.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote

_NAMED_MODEL = re.compile(r"/(?:models|tunedModels|endpoints|deployments|engines)/[^/]+", re.I)
_MODEL_FOLDERS = ("/models/", "/tunedmodels/", "/endpoints/")
_MODEL_METHODS = frozenset(
    {"generatecontent", "streamgeneratecontent", "rawpredict", "streamrawpredict"}
)
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/", re.I)
_HIDDEN = re.compile(r"%(2e|5c|25[0-9a-f]{2}|[01][0-9a-f]|7f)", re.I)
_PARAMETERS = re.compile(r";[^/]*")


def plain_path(path: str) -> str:
    """Return a path as it is compared with others.

    Without query, percent-encoding, parameters (`;v=1`), empty and `.` segments, and trailing slash.

    >>> plain_path("/v1//chat/./completions;v=1/?x=y")
    '/v1/chat/completions'
    """
    return _plain(path.partition("?")[0])


@lru_cache(maxsize=256)  # each call asks several times, and most calls ask for the same few
def _plain(path: str) -> str:
    return "".join(f"/{segment}" for segment in _segments(unquote(path)) if segment != ".")


def path_fault(path: str) -> str | None:
    """Return what in a path endpoints read in different ways; None if there is nothing.

    >>> path_fault("/v1/models/meta%2Fllama-3"), path_fault("/v1/chat%2Fcompletions")
    (None, 'an encoded slash outside the name of a model')
    """
    path = path.partition("?")[0]
    if "\\" in path:
        return "a backslash"
    if hidden := _HIDDEN.search(path):
        return f"the encoded character {hidden[0]}"
    if "%2f" in _NAMED_MODEL.sub("", path).lower():
        return "an encoded slash outside the name of a model"
    if ".." in _segments(unquote(path)):
        return "a segment `..`"
    return None


def model_fault(model: str) -> str | None:
    """Return what in the name of a model would make another path of the one it is put into.

    >>> model_fault("meta/llama-3"), model_fault("../admin")
    (None, 'a segment `..`')
    """
    if fault := path_fault(f"/models/{quote(model, safe='', errors='replace')}"):
        return fault
    return "a segment `.`" if "." in _segments(model) else None


@lru_cache(maxsize=256)  # as above
def model_in_path(path: str) -> str | None:
    """Return the model that a plain path names, where its dialect has it there; else None."""
    if (named := google_method(path)) is not None:
        return named[0]
    deployment = _DEPLOYMENT.search(path)
    return None if deployment is None else deployment[1]


def google_method(path: str) -> tuple[str, str] | None:
    """Return model and method, in small letters, of a plain path such as `/v1beta/models/m:generateContent`."""
    head, _, method = path.rpartition(":")
    method = method.lower()
    if method not in _MODEL_METHODS:
        return None
    lower = head.lower()
    ends = [found + len(folder) for folder in _MODEL_FOLDERS if (found := lower.rfind(folder)) >= 0]
    model = head[max(ends) :] if ends else ""
    return (model, method) if model else None


def _segments(path: str) -> list[str]:
    return [segment for segment in _PARAMETERS.sub("", path).split("/") if segment]
