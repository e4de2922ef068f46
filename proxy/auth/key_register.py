"""Which keys were minted for cells: a small append-only file in the state folder, without the keys themselves.

A key holds all that a proxy must know of it, so nothing depends on this file: it is for people who want to
see which keys there are. Keys that were minted elsewhere with the same signing key are not in it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth import cell_keys
from cab.proxy.auth.cell_keys import CellKey, CellKeys
from cab.proxy.auth.revocations import Revocations, append_lines
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.errors import BadConfig
from cab.proxy.logs import RedactingLogger
from cab.scoring.timestamps import rfc3339

FILE_NAME = "keys.ndjson"

log = RedactingLogger()


class Revoked(NamedTuple):
    """What a revocation came to."""

    known: bool
    """Whether the register has such a key; a key that was minted elsewhere is revoked all the same."""
    before: bool
    """Whether it was revoked already."""


class KeyRegister:
    """Mints and revokes keys, and remembers which there are.

    Args:
        ring: Signs them.
        revocations: Of the state folder in which the file is.
    """

    def __init__(self, ring: KeyRing, revocations: Revocations) -> None:
        self._ring = ring
        self._revocations = revocations
        self.file: Path = revocations.file.with_name(FILE_NAME)

    def mint_both(self, cell_id: str, ttl_s: int, now_s: int, limits: KeyLimits) -> CellKeys:
        """Return the two keys of a cell; arguments are those of `cell_keys.mint`.

        Raises:
            BadConfig: An argument is not valid, or the keys would be revoked already.
        """
        self.require_mintable(cell_id, now_s)
        keys = cell_keys.mint_both(self._ring, cell_id, ttl_s, now_s, limits)
        entries = [_entry(cell_keys.verify(self._ring, key, now_s)) for key in keys]
        try:
            append_lines(self.file, b"".join(orjson.dumps(each) + b"\n" for each in entries))
        except OSError as error:
            log.warning("key_not_listed", file=str(self.file), reason=error.strerror or str(error))
        return keys

    def require_mintable(self, cell_id: str, now_s: int) -> None:
        """Return if keys of a cell that are minted now are valid.

        Raises:
            BadConfig: They are not: all keys that the cell got up to now, or later, are revoked.
        """
        if self._revocations.revokes_new(cell_id, now_s):
            raise BadConfig(
                f"the keys of {cell_id} that are minted up to this second are revoked; mint one a "
                "second later, or set the clock if it is wrong"
            )

    def revoke_key(self, key_id: str, now_s: int, until_s: int | None = None) -> Revoked:
        """Revoke one key; see `Revocations.revoke_key`."""
        found = [each for each in self.entries() if each["key_id"] == key_id]
        try:
            before = self._revocations.is_revoked(key_id)
        except OSError:  # to write to it says what is wrong
            before = False
        if not before:
            until_s = until_s if until_s is not None or not found else found[0]["expires_s"]
            self._revocations.revoke_key(key_id, now_s, until_s)
        return Revoked(bool(found) or before, before)

    def revoke_cell(self, cell_id: str, now_s: int) -> Revoked:
        """Revoke all keys that a cell has now; see `Revocations.revoke_cell`."""
        found = [each for each in self.entries() if each["cell_id"] == cell_id]
        try:
            before = bool(found) and all(self._revocations.revokes(_key(each)) for each in found)
        except OSError:  # as above
            before = False
        self._revocations.revoke_cell(cell_id, now_s)
        return Revoked(bool(found), before)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of each key, in the order in which they were minted."""
        try:
            lines = self.file.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise BadConfig(f"{self.file} cannot be read: {error.strerror}") from error
        for line in lines:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # a torn write
            if isinstance(entry, dict) and entry.keys() >= _MEMBERS:
                yield entry

    def views(self, now_s: int, prefix: str = "") -> list[dict[str, Any]]:
        """Return what people see of the keys of cells whose id begins with a text.

        Args:
            now_s: Seconds since the Unix epoch: who has expired by then.
            prefix: Beginning of the cells' ids.
        """
        return [self._view(e, now_s) for e in self.entries() if e["cell_id"].startswith(prefix)]

    def _view(self, entry: dict[str, Any], now_s: int) -> dict[str, Any]:
        state = "expired" if entry["expires_s"] <= now_s else "valid"
        return {
            "key_id": entry["key_id"],
            "cell_id": entry["cell_id"],
            "scope": entry["scope"],
            "state": "revoked" if self._revocations.revokes(_key(entry)) else state,
            "minted_at": rfc3339(entry["issued_s"] * 1_000_000_000),
            "expires_at": rfc3339(entry["expires_s"] * 1_000_000_000),
            "limits": entry["limits"],
        }


def _entry(key: CellKey) -> dict[str, Any]:
    return {**key._asdict(), "limits": key.limits.claims()}


def _key(entry: dict[str, Any]) -> CellKey:
    values: dict[str, Any] = {**entry, "limits": KeyLimits()}
    return CellKey(**values)


_MEMBERS = frozenset(CellKey._fields)
