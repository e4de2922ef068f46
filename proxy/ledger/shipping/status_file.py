"""How shipping goes, as a file in the ledger's folder: every process of a proxy can say it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from cab.proxy.ledger.shipping.service import ShippingStatus
from cab.scoring.files import is_object
from cab.scoring.timestamps import instant_us

FILE_NAME = "shipping.json"
_MOST_BYTES = 1 << 16
_MOST_NAMES = 20


def write_status(ledger: Path, status: ShippingStatus) -> None:
    """Put a status in place of the one before, in one step.

    Raises:
        OSError: The disk refused.
    """
    values = status.as_dict()
    for name in ("missing_segments", "unreadable"):
        values[name] = values[name][:_MOST_NAMES]  # type: ignore[index]  # lists, as in ShippingStatus
    unfinished = ledger / f"{FILE_NAME}.{os.getpid()}.tmp"
    try:
        unfinished.write_bytes(orjson.dumps(values))
        unfinished.replace(ledger / FILE_NAME)
    finally:
        unfinished.unlink(missing_ok=True)


class ShippingView:
    """What the control API and the metrics say of shipping.

    Args:
        ledger: The ledger that is shipped.
    """

    def __init__(self, ledger: Path) -> None:
        self._file = ledger / FILE_NAME

    def status(self) -> dict[str, Any] | None:
        """Return the status that was written last; None if there is none, or it cannot be read.

        It is a small file on the ledger's own disk, so that a caller on the event loop may wait for it.
        """
        with suppress(OSError, ValueError):
            with self._file.open("rb") as handle:
                data: object = orjson.loads(handle.read(_MOST_BYTES))
            if is_object(data):
                return dict(data)
        return None

    def complete_s(self) -> float | None:
        """Return when the sink last had all that there was, in seconds since 1970; None if not known."""
        at = (self.status() or {}).get("shipped_at")
        try:
            return instant_us(str(at)) / 1e6 if at else None
        except ValueError:
            return None
