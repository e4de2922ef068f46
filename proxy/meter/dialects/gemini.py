"""Gemini: `POST .../models/M:generateContent` and `:streamGenerateContent`."""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, as_count, as_list, as_object, as_text, dump_text
from cab.proxy.meter.usage import gemini_usage


class GeminiAnswer(Answer):
    """An answer in the Gemini dialect: every event of a stream has the form of a whole answer."""

    read_usage = staticmethod(gemini_usage)

    def __init__(self, limit_chars: int) -> None:
        super().__init__(limit_chars)
        self._blocked = False

    def read_event(self, _kind: str, data: JsonObject, /) -> bool:
        """Read one event; only the end of the stream ends it."""
        self.read_body(data)
        return False

    def read_body(self, data: JsonObject) -> None:
        """Read an answer, or the next part of one."""
        if self.upstream_id is None:
            self.upstream_id = as_text(data.get("responseId"))
        if self.model_served is None:
            self.model_served = as_text(data.get("modelVersion"))
        candidates = as_list(data.get("candidates"))
        for position, candidate in enumerate(candidates):
            self._candidate(position, as_object(candidate))
        blocked = as_object(data.get("promptFeedback")).get("blockReason")
        self._blocked = self._blocked or as_text(blocked) is not None
        self.recognized = self.recognized or bool(candidates) or self._blocked
        self.take_usage_of(data, final=self.finished())

    def finished(self) -> bool:
        """Whether a candidate has its finish reason, or the prompt was blocked."""
        return bool(self.finish_reasons) or self._blocked

    def _candidate(self, position: int, candidate: JsonObject) -> None:
        index = as_count(candidate.get("index"))
        index = position if index is None else index
        self.tool_calls = self.tool_calls or 0
        for part in as_list(as_object(candidate.get("content")).get("parts")):
            self._part(index, as_object(part))
        self.take_finish(index, candidate.get("finishReason"))

    def _part(self, index: int, part: JsonObject) -> None:
        text = as_text(part.get("text"))
        if text is not None:
            self.take_text((index, bool(part.get("thought"))), text)
        call = as_object(part.get("functionCall"))
        if call:
            self.tool_calls = (self.tool_calls or 0) + 1
            self.take_text((index, "call", self.tool_calls), dump_text(call))
        if any(part.get(name) for name in ("inlineData", "executableCode", "fileData")):
            self.delivered = True
            self.delivered_media = self.delivered_media or not part.get("executableCode")
