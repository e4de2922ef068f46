"""Records that the disk refused, kept within bounds until it takes records again."""

from collections.abc import Container
from typing import Any

import orjson

_MAX_BYTES = 8 << 20
"""Thousands of records: minutes of a busy proxy, and no danger to its memory."""


class Backlog:
    """What waits for a disk that works; what does not fit is counted as lost."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._known: set[str] = set()
        self.held: list[dict[str, Any]] = []
        """Records in the order they came."""
        self.lost = 0
        """Records that did not fit."""
        self.unended: list[str] = []
        """Calls whose START is in the ledger or held, and whose END did not fit."""

    def take(self, record: dict[str, Any], open_calls: Container[str]) -> None:
        """Hold a record, or count it as lost.

        Args:
            record: What could not be written.
            open_calls: Calls whose START is in the ledger.
        """
        try:
            size = len(orjson.dumps(record))
        except orjson.JSONEncodeError:
            self.lost += 1
            return
        call_id, kind = str(record.get("call_id")), record.get("kind")
        if self._held_bytes + size <= self._max_bytes:
            self._held_bytes += size
            self.held.append(record)
            if kind == "start":
                self._known.add(call_id)
            return
        self.lost += 1
        if kind == "end" and (call_id in open_calls or call_id in self._known):
            self.unended.append(call_id)

    def clear(self) -> None:
        """Forget what was held: it is in the ledger now."""
        self.held.clear()
        self.unended.clear()
        self._known.clear()
        self._held_bytes = 0
        self.lost = 0
