"""Anthropic messages: `POST .../messages`."""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.error_body import fault_from
from cab.proxy.meter.json_values import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    dump_text,
    is_object,
)
from cab.proxy.meter.usage import Usage, UsageReader, messages_usage

TERMINAL = ("message_stop",)
"""Events that end a message."""

_DELTA_TEXTS = ("text", "thinking", "partial_json")


class MessagesAnswer(Answer):
    """An answer in the Anthropic dialect."""

    def __init__(self, limit_chars: int) -> None:
        super().__init__(limit_chars)
        self._calls: int | None = None
        self._blocks = 0

    def event(self, kind: str, data: JsonObject, /) -> bool:
        """Take one event; `message_stop` ends the stream."""
        kind = as_text(data.get("type")) or kind
        if kind == "content_block_delta":
            self._delta(as_object(data.get("delta")))
        elif kind == "content_block_start":
            self._block(as_object(data.get("content_block")))
        elif kind == "message_start":
            self._message(as_object(data.get("message")), final=False)
        elif kind == "message_delta":
            self._stop(as_object(data.get("delta")))
            self._usage(data.get("usage"), final=bool(self.finish))
        elif kind == "error" or "error" in data:
            self.error = self.error or fault_from(as_object(data.get("error")) or data)
        self.complete = self.complete or kind in TERMINAL
        return kind in TERMINAL

    def body(self, data: JsonObject) -> None:
        """Take a whole message."""
        self._message(data, final=True)
        if "content" not in data:
            self.take_body_error(data)

    def read_usage(self, reader: UsageReader) -> Usage:
        """Return the counts in the dialect's usage object."""
        return messages_usage(reader)

    def tool_calls(self) -> int | None:
        """Return the number of `tool_use` blocks, of whatever kind."""
        return self._calls

    def _message(self, message: JsonObject, *, final: bool) -> None:
        self.take_identity(message)
        self._usage(message.get("usage"), final=final)
        self._stop(message)
        if "content" in message:
            self._calls = self._calls or 0
        for block in as_list(message.get("content")):
            self._block(as_object(block))

    def _stop(self, data: JsonObject) -> None:
        reason = as_text(data.get("stop_reason"))
        if reason is not None:
            self.finish[0] = reason

    def _usage(self, raw: object, *, final: bool) -> None:
        """Lay a usage object over the one before: a `message_delta` repeats only some members."""
        if is_object(raw):
            said = {name: value for name, value in raw.items() if value is not None}
            self.take_usage({**raw, **(self.usage_raw or {}), **said}, final=final)
        else:
            self.take_usage(raw, final=final)

    def _block(self, block: JsonObject) -> None:
        self._blocks += 1
        kind = as_text(block.get("type")) or ""
        self._calls = (self._calls or 0) + kind.endswith("tool_use")
        self._texts(block, ("text", "thinking", "name"))
        if block.get("input"):
            self.take_text((self._blocks, "partial_json"), dump_text(block["input"]))
        if block.get("data"):
            # Redacted thinking: it cannot be counted, yet it was generated.
            self.delivered = True

    def _delta(self, delta: JsonObject) -> None:
        self._texts(delta, _DELTA_TEXTS)

    def _texts(self, holder: JsonObject, names: tuple[str, ...]) -> None:
        for name in names:
            piece = as_text(holder.get(name))
            if piece is not None:
                self.take_text((self._blocks, name), piece)
