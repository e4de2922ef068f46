"""The capture of one process: takes the calls that are over, and has a thread write them.

Nothing of it makes a call wait or fail. What cannot be kept is counted and logged, and the call's record
is the same.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.ledger.call_records import CallContext, start_record
from cab.proxy.ledger.capture.call_tap import CallTap
from cab.proxy.ledger.capture.cell_files import CellFiles
from cab.proxy.ledger.capture.event_tap import EventTap
from cab.proxy.ledger.capture.kept_body import KeptBody, SentBody, kept_body
from cab.proxy.ledger.capture.retention import prune, stored_cells
from cab.proxy.ledger.capture.room import MemoryRoom
from cab.proxy.ledger.disk_thread import DiskThread
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter.json_values import clean
from cab.proxy.redaction import Redactor
from cab.proxy.redaction.key_shapes import without_keys_in_name
from cab.scoring.capture import CapturedAnswer, CapturedBody, CapturedCall, cell_folder_name
from cab.scoring.capture.layout import FOLDER
from cab.scoring.timestamps import rfc3339

_ROOM_BODIES = 16
"""So many of the largest bodies may be in memory at once, of calls under way and waiting for the disk."""
_LOOK_S = 60.0
"""How often what others have written is counted, and what is too old is removed."""
_CELL_SHARE = 4
"""One cell may fill a part of the whole: else it could have those of all others removed."""

log = RedactingLogger()


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """What may be kept."""

    max_body_bytes: int
    max_bytes: int
    max_age_s: float
    min_free_bytes: int
    """Free space that stays: the ledger needs it."""


def limits_of(settings: ProxySettings) -> CaptureLimits:
    """Return the limits that settings state."""
    return CaptureLimits(
        settings.capture_max_body_bytes,
        settings.capture_max_bytes,
        settings.capture_max_age_s,
        # A capture must never be what makes the ledger refuse calls.
        2 * settings.min_free_bytes,
    )


class NotKept(Exception):
    """A call that a limit keeps out."""


class BodyCapture:
    """Keeps the bodies of calls. It is made on the event loop, and closed there.

    Args:
        ledger: The ledger's folder.
        worker: Number of this process.
        limits: What may be kept.
        clock: Time.
    """

    def __init__(self, ledger: Path, worker: int, limits: CaptureLimits, clock: Clock) -> None:
        self._folder = ledger / FOLDER
        self._limits = limits
        self._clock = clock
        self._room = MemoryRoom(_ROOM_BODIES * limits.max_body_bytes)
        self._files = CellFiles(self._folder, worker)
        self._thread = DiskThread("cab-capture")
        self._loop = asyncio.get_running_loop()
        self._sizes: dict[str, int] = {}
        """Cell's folder -> its bytes, as of the last look and what was written since."""
        self._lost_calls = 0
        self._loss: str | None = None
        self._timer = self._loop.call_later(0, self._look_again)

    @property
    def lost_calls(self) -> int:
        """How many calls were not written."""
        return self._lost_calls

    @property
    def loss(self) -> str | None:
        """Why the last of them was not; None if all were."""
        return self._loss

    def tap(
        self,
        context: CallContext,
        method: str,
        path_qs: str,
        request: bytes | str,
        media_type: str,
    ) -> CallTap:
        """Return what takes the bodies of a call.

        Args:
            context: What is known of it.
            method: Its HTTP method.
            path_qs: Path and query, without any key.
            request: The request's body, its content encoding undone; or why that is not known.
            media_type: The request's header, empty if there is none.
        """
        largest = self._limits.max_body_bytes
        if isinstance(request, str):
            sent = SentBody(None, None, media_type or None, "", False, request)
        else:
            sent = SentBody(request, len(request), media_type or None, "", True)
            if len(request) > largest:
                sent = sent._replace(data=None, note=f"it has more than {largest} bytes")
        return CallTap(context, method, path_qs, sent, self._room, largest, self._take)

    def event_tap(self, context: CallContext, path_qs: str, frame: bytes) -> EventTap:
        """Return what takes the frame, empty if there is none, and the events of a call on a WebSocket."""
        body = frame or "no frame asked for it"
        return EventTap(self.tap(context, "GET", path_qs, body, "application/json"))

    async def close(self) -> None:
        """Write what waits, and end the thread."""
        self._timer.cancel()
        await self._thread.close()

    def _take(self, tap: CallTap) -> None:
        def done(error: Exception | None) -> None:
            tap.release()
            if error is None and tap.lacked_room:
                error = NotKept("there was no room in memory for a body")
            if error is not None:
                self._lose(error)

        ended = rfc3339(self._clock.wall_ns())
        self._thread.run(lambda: self._write(tap, ended), done)

    def _lose(self, error: Exception) -> None:
        self._lost_calls += 1
        reason = f"{type(error).__name__}: {error}"
        if reason != self._loss:  # a full disk would fill the log too
            log.warning("call_not_captured", error=reason, lost_calls=self._lost_calls)
        self._loss = reason

    def _look_again(self) -> None:
        def done(error: Exception | None) -> None:
            if error is not None:
                log.warning("capture_not_pruned", error=str(error))

        self._thread.run(self._prune, done)
        self._timer = self._loop.call_later(_LOOK_S, self._look_again)

    # In the thread.

    def _write(self, tap: CallTap, ended: str) -> None:
        redactor, limit = tap.context.redactor, self._limits.max_body_bytes
        request = kept_body(tap.request, redactor, limit)
        answer = None if tap.status is None else kept_body(tap.answer(), redactor, limit)
        call = _line(tap, request, answer, ended)
        kept = [body for body in (request, answer) if body is not None]
        parts = dict[str, bytes]()
        for body in kept:
            parts.update(zip(body.names, body.parts or (), strict=True))
        name = cell_folder_name(call.cell_id)
        self._require_room(name)
        self._sizes[name] = self._sizes.get(name, 0) + self._files.append(call, parts)
        if sum(self._sizes.values()) > self._limits.max_bytes:
            self._prune()

    def _require_room(self, name: str) -> None:
        if self._sizes.get(name, 0) > self._limits.max_bytes // _CELL_SHARE:
            raise NotKept(f"a cell has its part of capture_max_bytes ({self._limits.max_bytes})")
        disk = os.statvfs(self._folder.parent)
        if disk.f_bavail * disk.f_frsize < self._limits.min_free_bytes:
            raise NotKept("the disk has too little free space; the ledger needs the rest")

    def _prune(self) -> None:
        before_ns = self._clock.wall_ns() - round(self._limits.max_age_s * 1e9)
        gone = prune(self._folder, before_ns=before_ns, max_bytes=self._limits.max_bytes)
        if gone:
            size = sum(cell.bytes for cell in gone)
            log.info("captured_cells_removed", cells=len(gone), bytes=size)
        self._sizes = {cell.folder.name: cell.bytes for cell in stored_cells(self._folder)}


def opened_capture(
    settings: ProxySettings, worker: int, clock: Clock, on_close: Callable[..., object]
) -> BodyCapture | None:
    """Return the capture that settings ask for; None if they ask for none.

    Args:
        settings: The settings.
        worker: Number of this process.
        clock: Time.
        on_close: Is given what closes it.
    """
    if settings.capture == "off":
        return None
    capture = BodyCapture(settings.ledger, worker, limits_of(settings), clock)
    on_close(capture.close)
    return capture


def _line(tap: CallTap, request: KeptBody, answer: KeptBody | None, ended: str) -> CapturedCall:
    context, redactor = tap.context, tap.context.redactor
    record = start_record(context)
    notes = [("request", request.note), ("answer", None if answer is None else answer.note)]
    redactions = request.redactions + (0 if answer is None else answer.redactions)
    return CapturedCall(
        kind="call",
        call_id=context.call_id,
        cell_id=context.cell_id,
        seq=context.seq,
        endpoint=context.endpoint,
        stream=record["stream"],
        transport=record.get("transport"),
        request_hash=record["request_hash"],
        method=tap.method,
        path=clean(without_keys_in_name(redactor.text(tap.path_qs))),
        recorded_at=ended,
        end_reason=tap.end_reason,
        request=_body(request, tap.request.media_type, redactor),
        response=None if answer is None else _answer(tap, answer, redactor),
        redactions=redactions,
        note="; ".join(f"{what}: {note}" for what, note in notes if note) or None,
        new_parts=[],
    )


def _body(body: KeptBody, media_type: str | None, redactor: Redactor) -> CapturedBody:
    return CapturedBody(
        sha256=body.sha256,
        bytes=body.bytes,
        media_type=None if media_type is None else redactor.sentence(media_type),
        complete=body.is_whole,
        parts=None if body.parts is None else list(body.names),
    )


def _answer(tap: CallTap, body: KeptBody, redactor: Redactor) -> CapturedAnswer:
    headers = {name: redactor.sentence(value) for name, value in tap.headers.items()}
    said = _body(body, tap.headers.get("content-type"), redactor)
    return CapturedAnswer(**dict(said), status=tap.status or 0, headers=headers)
