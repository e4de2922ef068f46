"""Ships a ledger until it is stopped, whatever becomes of the sink meanwhile; says how it goes."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from cab.proxy.ledger.shipping.shipper import PassResult, Shipper, Stopped
from cab.proxy.ledger.shipping.sink import LedgerSink, OpenSink, SinkFailed, SinkTarget
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord

LOOK_S = 1.0
"""How often a ledger is looked at."""
_SAY_S = 10.0
"""How often at least it is said how it goes."""
_WAITS_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""How long to wait after failures in a row, the last for all further ones."""

log = RedactingLogger()


@dataclass(slots=True)
class ShippingStatus:
    """How shipping goes, for a person or a monitor."""

    at: str = ""
    """When this was written, RFC 3339 in UTC."""
    shipped_at: str | None = None
    """When everything that was there had been sent last; null if it never was."""
    shipped_lines: int = 0
    """Lines that this process has sent."""
    behind_bytes: int | None = None
    """What the sink lacked then, in bytes; null while that is not known."""
    failure: str | None = None
    """Why nothing is sent now; null if all is well."""
    missing_segments: list[str] = field(default_factory=list[str])
    unreadable: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


class ShippingService:
    """Ships one ledger to one sink, again and again.

    Args:
        shipper: Reads the ledger.
        opener: Opens the sink.
        target: Where that is.
        stop: Ends it; lines that are on disk by then are still sent, if the sink takes them at once.
        on_status: Is given the status after each look.
    """

    def __init__(
        self,
        shipper: Shipper,
        opener: OpenSink,
        target: SinkTarget,
        stop: threading.Event,
        on_status: Callable[[ShippingStatus], None],
    ) -> None:
        self._shipper = shipper
        self._opener = opener
        self._target = target
        self._stop = stop
        self._on_status = on_status
        self._sink: LedgerSink | None = None
        self._said: tuple[object, ...] = ()
        self._said_s = 0.0
        self.status = ShippingStatus()

    def run(self) -> None:
        """Ship until `stop` is set.

        Raises:
            BadConfig: The sink will never take anything, as with a schema of a later version.
        """
        failures = 0
        try:
            while not self._stop.is_set():
                try:
                    self.run_once()
                    failures, wait_s = 0, LOOK_S
                except SinkFailed as error:
                    wait_s = _WAITS_S[min(failures, len(_WAITS_S) - 1)]
                    failures += 1
                    self._fail(str(error))
                except BadRecord as error:  # the ledger's disk is away, say: it may come back
                    wait_s = _WAITS_S[2]
                    self._fail(str(error))
                except Stopped:
                    return
                self._stop.wait(wait_s)
        finally:
            self.close()

    def run_once(self) -> PassResult:
        """Send all that is there; return what was done.

        Raises:
            SinkFailed: The sink takes nothing now.
            BadRecord: The ledger cannot be read.
            BadConfig: As for `run`.
        """
        try:
            if self._sink is None:
                self._sink = self._opener(self._target)
            done = self._shipper.run_pass(self._sink)
        except SinkFailed:
            self.close()
            raise
        status, now = self.status, _now()
        if status.failure is not None:
            log.info("shipping_goes_on", lines=done.lines)
        status.failure = None
        status.shipped_at = now
        status.shipped_lines += done.lines
        status.behind_bytes = done.behind_bytes
        status.missing_segments, status.unreadable = done.missing_segments, done.unreadable
        self._tell()
        return done

    def finish(self, limit_s: float) -> None:
        """Send what came until now, after `run` has ended; give up after so many seconds, or if it fails."""
        if self.status.failure is not None:
            return
        self._stop.clear()
        timer = threading.Timer(limit_s, self._stop.set)
        timer.daemon = True
        timer.start()
        try:
            self.run_once()
        except (SinkFailed, BadRecord, Stopped) as error:
            log.warning("shipping_not_finished", reason=str(error) or f"over {limit_s:g} s")
        finally:
            timer.cancel()
            self.close()

    def close(self) -> None:
        """Give up the sink."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _fail(self, reason: str) -> None:
        if self.status.failure != reason:
            log.warning("shipping_waits", reason=reason)
        self.status.failure = reason
        self.status.behind_bytes = None
        self._tell()

    def _tell(self) -> None:
        status, now_s = self.status, time.monotonic()
        known = (status.shipped_lines, status.behind_bytes, status.failure)
        said: tuple[object, ...] = (*known, *status.missing_segments, *status.unreadable)
        if said == self._said and now_s - self._said_s < _SAY_S:
            return  # an idle proxy's disk has its rest
        self._said, self._said_s = said, now_s
        status.at = _now()
        with suppress(OSError):
            self._on_status(status)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")
