"""Anthropic messages: `POST .../messages`."""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    dump_text,
)
from cab.proxy.meter.usage import merged_message, messages_usage

TERMINAL = ("message_stop",)
"""Events that end a message."""
_PARTS = ("message_start", "message_delta", "content_block")


class MessagesAnswer(Answer):
    """An answer in the Anthropic dialect."""

    read_usage = staticmethod(messages_usage)

    def __init__(self, limit_chars: int) -> None:
        super().__init__(limit_chars)
        self._blocks = 0

    def read_event(self, kind: str, data: JsonObject, /) -> bool:
        """Read one event; `message_stop` ends the stream."""
        kind = as_text(data.get("type")) or kind
        self.recognized = self.recognized or kind.startswith(_PARTS)
        if kind == "content_block_delta":
            self._texts(as_object(data.get("delta")), ("text", "thinking", "partial_json"))
        elif kind == "content_block_start":
            self._block(as_object(data.get("content_block")))
        elif kind == "message_start":
            self._message(as_object(data.get("message")), final=False)
        elif kind == "message_delta":
            self._stop(as_object(data.get("delta")))
            self.take_usage_of(data, final=bool(self.finish_reasons))
        self.complete = self.complete or kind in TERMINAL
        return kind in TERMINAL

    def read_body(self, data: JsonObject) -> None:
        """Read a whole message."""
        self._message(data, final=True)

    def merge_usage(self, raw: JsonObject) -> JsonObject:
        """Merge a usage object into the one before: a `message_delta` repeats only some members."""
        if not self.usage_raw:
            return raw
        usage, conflict = merged_message(self.usage_raw, raw)
        self.usage_conflict = self.usage_conflict or conflict
        return usage

    def _message(self, message: JsonObject, *, final: bool) -> None:
        self.take_identity(message)
        self.take_usage_of(message, final=final)
        self._stop(message)
        if isinstance(message.get("content"), list):
            self.recognized = True
            self.tool_calls = self.tool_calls or 0
        for block in as_list(message.get("content")):
            self._block(as_object(block))

    def _stop(self, data: JsonObject) -> None:
        self.take_finish(0, data.get("stop_reason"))

    def _block(self, block: JsonObject) -> None:
        self._blocks += 1
        kind = as_text(block.get("type")) or ""
        self.tool_calls = (self.tool_calls or 0) + kind.endswith("tool_use")
        self._texts(block, ("text", "thinking", "name"))
        if block.get("input"):
            self.take_text((self._blocks, "partial_json"), dump_text(block["input"]))
        if block.get("data"):
            # Redacted thinking: it cannot be counted, yet it was generated.
            self.delivered = True
        self.piece_repeats = False  # each block begins anew

    def _texts(self, holder: JsonObject, names: tuple[str, ...]) -> None:
        for name in names:
            piece = as_text(holder.get(name))
            if piece is not None:
                self.take_text((self._blocks, name), piece)
