"""Which cell pays for a call: key first, then open attribution where allowed, then `--cell`."""

from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from cab.proxy.auth import cell_keys
from cab.proxy.auth.cell_keys import CellKey
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.errors import BadKey
from cab.proxy.http.headers import CREDENTIALS, credential
from cab.proxy.http.query_key import query_key
from cab.proxy.redaction import is_secret_name
from cab.scoring.ledger.bounds import MAX_CELL_ID_CHARS

_CELL_PREFIX = "/cell/"
_KEYS_REMEMBERED = 4096


class Target(NamedTuple):
    """A request's target, with what stood in the path taken out of it."""

    path_qs: str
    """Raw path and query without the cell's part."""
    path_key: str | None
    """Key or cell id from `/cell/<key>/...`, decoded."""

    @property
    def query_key(self) -> str | None:
        """The key in the query, decoded; Gemini's clients may put theirs there."""
        return query_key(self.path_qs)


class Caller(NamedTuple):
    """Who called."""

    cell_id: str | None
    foreign_key: str | None
    """A key that is not one of ours; it goes upstream only where the proxy holds none itself."""
    key: CellKey | None = None
    """The cell's key, if that is how the cell was named."""

    @property
    def payer(self) -> str | None:
        """The cell if its key names it; None where calls need no key, so that a cell is a mere label."""
        return None if self.key is None else self.cell_id


def split_target(raw_target: str) -> Target:
    """Return the target without a `/cell/<key>` prefix."""
    if not raw_target.startswith(_CELL_PREFIX):
        return Target(raw_target, None)
    key, slash, rest = raw_target.removeprefix(_CELL_PREFIX).partition("/")
    return Target(slash + rest, unquote(key))


@dataclass(frozen=True, slots=True)
class Identifier:
    """The rules of attribution, fixed when the proxy starts but for the signing keys."""

    ring: KeyRing
    revocations: Revocations
    keys_required: bool
    open_attribution: bool
    default_cell: str | None
    _known: dict[str, CellKey] = field(default_factory=dict[str, CellKey])

    def identify(self, headers: CIMultiDictProxy[str], target: Target, now_s: int) -> Caller:
        """Return the caller of a request.

        Args:
            headers: The request's headers.
            target: Its target, in which a key may stand too.
            now_s: Seconds since the Unix epoch.

        Raises:
            BadKey: A cell key is not valid, or none was sent where one is required.
        """
        for text in _sent_keys(headers, target):
            known = self._known.get(text)
            if known is not None:
                self.check(known, now_s)
            elif cell_keys.is_ours(text):
                known = self.verify(text, now_s)
                self._remember(text, known)
            if known is not None:
                return Caller(known.cell_id, None, known)
        if self.keys_required:
            raise BadKey("this proxy needs a cell's key as the API key; mint one for the cell")
        foreign = credential(headers) or target.query_key
        named = target.path_key or headers.get("X-Cab-Cell")
        if named and self.open_attribution:
            return Caller(_writable(named), foreign)
        if target.path_key is not None:
            raise BadKey("the path holds no valid cell key; mint one, or allow open attribution")
        return Caller(self.default_cell, foreign)

    def _remember(self, text: str, key: CellKey) -> None:
        """Remember a key whose signature holds: that will not change, and takes long to compute."""
        if len(self._known) >= _KEYS_REMEMBERED:
            self._known.clear()
        self._known[text] = key

    def forget(self) -> None:
        """Verify each key anew: the signing keys are others."""
        self._known.clear()

    def check(self, key: CellKey, now_s: int) -> None:
        """Return if a key that was valid before still is.

        Raises:
            BadKey: It has expired, or was revoked.
        """
        cell_keys.check_expiry(key, now_s)
        self.revocations.check(key)

    def verify(self, text: str, now_s: int) -> CellKey:
        """Return what a cell's key states.

        Raises:
            BadKey: It is not valid, or was revoked.
        """
        key = cell_keys.verify(self.ring, text, now_s)
        self.revocations.check(key)
        return key


def _sent_keys(headers: CIMultiDictProxy[str], target: Target) -> list[str]:
    """Return all that may be a cell's key: it counts before any other key that came along."""
    values = [value for name in CREDENTIALS for value in headers.getall(name, [])]
    # The last word: there are other schemes before it than Bearer.
    words = [value.split()[-1] for value in values if value.strip()]
    return [text for text in (target.path_key, *words, target.query_key) if text]


def _writable(cell_id: str) -> str:
    """Return a cell id that records can hold.

    Raises:
        BadKey: It is not UTF-8, too long, or it looks like a key.
    """
    if is_secret_name(cell_id):
        raise BadKey(
            "the cell's id looks like a key, and records name it; name the cell another way"
        )
    if len(cell_id) > MAX_CELL_ID_CHARS:
        raise BadKey(f"the cell's id is longer than {MAX_CELL_ID_CHARS} characters; shorten it")
    try:
        cell_id.encode()
    except UnicodeEncodeError as error:
        raise BadKey("the cell's id is not UTF-8; name the cell in UTF-8") from error
    return cell_id
