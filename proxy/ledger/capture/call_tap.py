"""What is kept of one call while it is under way. Nothing here raises, waits, or takes long."""

from collections.abc import Callable, Mapping

from cab.proxy.ledger.call_records import CallContext
from cab.proxy.ledger.capture.kept_body import SentBody
from cab.proxy.ledger.capture.room import MemoryRoom
from cab.scoring.capture.lines import KEPT_HEADERS
from cab.scoring.ledger.records import EndReason

_NO_ROOM = "there was no room for it in memory"


class CallTap:
    """Takes the two bodies of a call.

    Args:
        context: What is known of the call.
        method: Its HTTP method.
        path_qs: Path and query, without any key.
        request: The request's body.
        room: Of the memory that all calls share.
        max_bytes: A larger answer is not kept.
        done: Is given this once the call is over.
    """

    def __init__(  # noqa: PLR0913 - all that is known of a call
        self,
        context: CallContext,
        method: str,
        path_qs: str,
        request: SentBody,
        room: MemoryRoom,
        max_bytes: int,
        done: "Callable[[CallTap], None]",
    ) -> None:
        self.context = context
        self.method = method
        self.path_qs = path_qs
        self.status: int | None = None
        """Of the answer; None if there is none."""
        self.headers: dict[str, str] = {}
        """Of the answer: those of `KEPT_HEADERS`."""
        self.end_reason: EndReason | None = None
        """As its END record has it."""
        self.lacked_room = False
        """Whether a body is not kept for want of memory."""
        self._room = room
        self._max_bytes = max_bytes
        self._done = done
        self._held_bytes = 0
        self._encoding = ""
        self._answer: bytearray | None = bytearray()
        self._answer_bytes = 0
        self._is_whole = False
        self._note: str | None = None
        if request.data is not None and not self._hold(len(request.data)):
            request = request._replace(data=None, note=_NO_ROOM)
        self.request = request
        """The request's body."""

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of the answer."""
        self.status = status
        self._encoding = headers.get("content-encoding", "")
        self.headers = {name: headers[name] for name in KEPT_HEADERS if name in headers}

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        self._answer_bytes += len(data)
        if self._answer is None:
            return
        if self._answer_bytes > self._max_bytes:
            self._let_go(f"it has more than {self._max_bytes} bytes")
        elif not self._hold(len(data)):
            self._let_go(_NO_ROOM)
        else:
            self._answer += data

    def ended(self) -> None:
        """Take note that the answer has come to its end."""
        self._is_whole = True

    def finish(self) -> None:
        """Have all of it written: the call is over."""
        self._done(self)

    def answer(self) -> SentBody:
        """Return the answer's body."""
        data = None if self._answer is None else bytes(self._answer)
        kind = self.headers.get("content-type")
        return SentBody(data, self._answer_bytes, kind, self._encoding, self._is_whole, self._note)

    def release(self) -> None:
        """Give back the memory that is held, once."""
        self._room.give_back(self._held_bytes)
        self._held_bytes = 0

    def _hold(self, size_bytes: int) -> bool:
        if not self._room.take(size_bytes):
            self.lacked_room = True
            return False
        self._held_bytes += size_bytes
        return True

    def _let_go(self, why: str) -> None:
        held = 0 if self._answer is None else len(self._answer)
        self._answer, self._note = None, why
        self._room.give_back(held)
        self._held_bytes -= held
