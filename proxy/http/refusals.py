"""Requests that are refused before they are calls: counted, and logged without what was sent."""

from collections import Counter

from aiohttp import web

from cab.proxy.http.error_responses import ErrorResponse
from cab.proxy.logs import RedactingLogger, ThinnedLog
from cab.proxy.redaction import Redactor


class RefusalNotes:
    """Takes note of each refusal.

    Args:
        counted: Counts them by the code of the answer.
        thinned: Where they are logged.
    """

    def __init__(self, counted: Counter[str], thinned: ThinnedLog) -> None:
        self._counted = counted
        self._thinned = thinned

    def note(
        self, request: web.BaseRequest, asked_for: str, answer: ErrorResponse, redactor: Redactor
    ) -> None:
        """Take note that a request was refused; its path and its headers may hold keys, and are not logged.

        Args:
            request: The request.
            asked_for: The dialect that it is in, `other`, or `control`.
            answer: The answer.
            redactor: Redacts the line.
        """
        self._counted[answer.code] += 1
        values = {
            "status": answer.status,
            "endpoint": asked_for,
            "method": request.method,
            "client": request.remote,
            "message": answer.message,
        }
        log = RedactingLogger(redactor)
        self._thinned.warning(log, "request_refused", answer.code, values)
