"""Which cell pays for a call: key first, then open attribution where allowed, then `--cell`."""

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from cab.proxy import keys
from cab.proxy.errors import BadKey
from cab.proxy.headers import credential

_CELL_PREFIX = "/cell/"


class Target(NamedTuple):
    """A request's target, with what stood in the path taken out of it."""

    path_qs: str
    """Raw path and query as the endpoint is to see them."""
    path_key: str | None
    """Key or cell id from `/cell/<key>/...`, decoded."""


class Caller(NamedTuple):
    """Who called."""

    cell_id: str | None
    foreign_key: str | None
    """A key that is not one of ours; it goes upstream only where the proxy holds none itself."""


def split_target(raw_target: str) -> Target:
    """Return the target without a `/cell/<key>` prefix."""
    if not raw_target.startswith(_CELL_PREFIX):
        return Target(raw_target, None)
    key, slash, rest = raw_target.removeprefix(_CELL_PREFIX).partition("/")
    return Target(slash + rest, unquote(key))


@dataclass(frozen=True, slots=True)
class Identifier:
    """The rules of attribution, fixed when the proxy starts."""

    signing_key: str
    keys_required: bool
    open_attribution: bool
    default_cell: str | None

    def identify(self, headers: CIMultiDictProxy[str], path_key: str | None, now_s: int) -> Caller:
        """Return the caller of a request.

        Args:
            headers: The request's headers.
            path_key: What stood after `/cell/`, if anything.
            now_s: Seconds since the Unix epoch.

        Raises:
            BadKey: A cell key does not hold, or none was sent where one is required.
        """
        sent = [key for key in (path_key, credential(headers)) if key]
        for key in sent:
            if keys.is_ours(key):
                return Caller(_writable(keys.cell_of(self.signing_key, key, now_s)), None)
        if self.keys_required:
            raise BadKey("this proxy wants a cell's key as the API key; mint one for the cell")
        foreign = credential(headers)
        named = path_key or headers.get("X-Cab-Cell")
        if named and self.open_attribution:
            return Caller(_writable(named), foreign)
        if path_key is not None:
            raise BadKey("the path holds no valid cell key; mint one, or allow open attribution")
        return Caller(self.default_cell, foreign)


def _writable(cell_id: str) -> str:
    """Return a cell id that records can hold.

    Raises:
        BadKey: It is no UTF-8.
    """
    try:
        cell_id.encode()
    except UnicodeEncodeError as error:
        raise BadKey("the cell's id is no UTF-8; name the cell in UTF-8") from error
    return cell_id
