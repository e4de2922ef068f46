"""Responses: `POST .../responses`."""

from cab.proxy.meter.completion_text import text_of
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, as_list, as_object, as_text
from cab.proxy.meter.usage import counts_something, responses_usage

_ENDED = ("completed", "incomplete", "failed", "cancelled")
_UNFINISHED = ("queued", "in_progress")
_STATUSES = _ENDED + _UNFINISHED
TERMINAL = (*(f"response.{status}" for status in _ENDED), "response.done")
"""Events that end a response; the last one in some servers other than OpenAI's."""


class ResponsesAnswer(Answer):
    """An answer in the Responses dialect.

    Its finish reason is the response's `status`, or the reason why it is incomplete.
    """

    read_usage = staticmethod(responses_usage)

    def __init__(self, limit_chars: int) -> None:
        super().__init__(limit_chars)
        self._texts_streamed = False
        self._in_background = False

    def read_event(self, kind: str, data: JsonObject, /) -> bool:
        """Read one event; the terminal ones end the stream."""
        kind = as_text(data.get("type")) or kind
        if kind.endswith(".delta"):
            self._delta(kind, data)
        elif kind == "response.output_item.added":
            self._item_added(data)
        elif "response" in data:
            self._response(as_object(data["response"]), final=kind in TERMINAL)
        self.recognized = self.recognized or kind.startswith("response.")
        self.complete = self.complete or kind in TERMINAL
        return kind in TERMINAL

    def read_body(self, data: JsonObject) -> None:
        """Read a whole response."""
        self.deferred = data.get("status") in _UNFINISHED
        self._response(data, final=True)
        self.recognized = "output" in data or data.get("status") in _STATUSES
        self._leave_unknown()

    def end(self, *, clean: bool) -> None:
        """Take the end of a stream, which may leave the response to the background."""
        self.deferred = self._in_background and not (self.complete or self.delivered)
        self._leave_unknown()
        super().end(clean=clean)

    def _leave_unknown(self) -> None:
        """Drop what a deferred response states so far: it is no count of the answer."""
        if self.deferred:
            self.usage_raw = None
            self.warn("background response: only later polls report its usage")

    def finished(self) -> bool:
        """Return false: without its terminal event a response is never complete."""
        return False

    def _delta(self, kind: str, data: JsonObject) -> None:
        piece = data.get("delta")
        if isinstance(piece, str) and piece:
            self._texts_streamed = True
            place = (data.get("output_index"), data.get("content_index"), data.get("summary_index"))
            self.take_text((kind, str(place)), piece)

    def _item_added(self, data: JsonObject) -> None:
        item = as_object(data.get("item"))
        if _is_call(item):
            self.tool_calls = (self.tool_calls or 0) + 1
            name = as_text(item.get("name")) or ""
            self.take_text(("name", self.tool_calls), name)

    def _response(self, response: JsonObject, *, final: bool) -> None:
        self.take_identity(response)
        self.take_error(response)
        status = as_text(response.get("status"))
        unfinished = status in _UNFINISHED
        self._in_background = unfinished and _is_background(response, status)
        if not unfinished or counts_something(response.get("usage")):
            # Zeros of one that has only begun count nothing.
            self.take_usage_of(response, final=final)
        output = [as_object(item) for item in as_list(response.get("output"))]
        calls = sum(map(_is_call, output))
        # Some endpoints leave the final output empty; then what was streamed stands.
        self.tool_calls = max(self.tool_calls or 0, calls)
        if not self._texts_streamed:
            for number, item in enumerate(output):
                self._item(number, item)
        if final and status is not None:
            details = as_object(response.get("incomplete_details"))
            self.take_finish(0, as_text(details.get("reason")) or status)

    def _item(self, number: int, item: JsonObject) -> None:
        texts = [text_of(item.get("content")), text_of(item.get("summary"))]
        texts += [as_text(item.get(name)) or "" for name in ("name", "arguments", "input")]
        for place, text in enumerate(texts):
            self.take_text((number, place), text)


def _is_background(response: JsonObject, status: str | None) -> bool:
    """Return whether an unfinished response goes on without its stream, or may."""
    stated = response.get("background")
    return stated if isinstance(stated, bool) else status == "queued"


def _is_call(item: JsonObject) -> bool:
    return (as_text(item.get("type")) or "").endswith("_call")
