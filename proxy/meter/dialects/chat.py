"""Chat completions: `POST .../chat/completions`."""

from cab.proxy.meter.completion_text import text_of
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, as_count, as_list, as_object, as_text

_REASONING = frozenset(("reasoning_content", "reasoning"))
_TEXTS = frozenset(("content", "refusal")) | _REASONING


class ChatAnswer(Answer):
    """An answer in the OpenAI chat dialect and its many variations."""

    def __init__(self, limit_chars: int) -> None:
        super().__init__(limit_chars)
        self._choices: set[int] = set()
        self._open_calls: dict[tuple[int, int], tuple[int, str | None]] = {}

    def read_event(self, kind: str, data: JsonObject, /) -> bool:
        """Read one chunk; none of them ends the stream, `[DONE]` does."""
        self._read(data)
        if kind == "error" and self.error is None:
            self.take_body_error(data)
        return False

    def read_body(self, data: JsonObject) -> None:
        """Read a whole completion."""
        self._read(data)
        if self.error is None and not self._choices:
            self.take_body_error(data)

    def add_done(self) -> None:
        """Take `data: [DONE]`, the dialect's end."""
        self.complete = True

    def finished(self) -> bool:
        """Whether every choice has given its finish reason."""
        return bool(self.finish_reasons) and len(self.finish_reasons) >= len(self._choices)

    def _read(self, data: JsonObject) -> None:
        self.take_identity(data)
        if "error" in data:
            self.take_error(data)
        choices = as_list(data.get("choices"))
        for position, choice in enumerate(choices):
            self._choice(position, as_object(choice))
        usage = data.get("usage")
        if usage is None:
            usage = _usage_elsewhere(data, choices)
        if usage is not None:
            self.take_usage(usage, final=bool(self.finish_reasons))

    def _choice(self, position: int, choice: JsonObject) -> None:
        index = as_count(choice.get("index"))
        index = position if index is None else index
        self._choices.add(index)
        self.read_content(index, choice)
        reason = as_text(choice.get("finish_reason"))
        if reason is not None:
            self.finish_reasons[index] = reason

    def read_content(self, index: int, choice: JsonObject) -> None:
        """Read what a choice has generated, in a delta or in a whole message."""
        self.tool_calls = self.tool_calls or 0
        message = as_object(choice.get("delta") or choice.get("message"))
        for name, value in message.items():
            if not value or name == "role":
                continue
            if name in _TEXTS:
                self._text(index, name, value, message)
            elif name == "tool_calls":
                for position, call in enumerate(as_list(value)):
                    self._call(index, position, as_object(call))
            elif name == "function_call":
                self._call(index, -1, {"function": value})
            elif name in ("audio", "reasoning_details", "images"):
                # Their tokens cannot be counted from here, yet something was delivered.
                self.delivered = True

    def _text(self, index: int, name: str, value: object, message: JsonObject) -> None:
        if name in _REASONING:
            # Some endpoints send the same reasoning under both names.
            if name == "reasoning" and message.get("reasoning_content"):
                return
            name = "reasoning"
        self.take_text((index, name), text_of(value))

    def _call(self, index: int, position: int, call: JsonObject) -> None:
        number = as_count(call.get("index"))
        place = (index, position if number is None else number)
        key = self._call_key(place, as_text(call.get("id")))
        function = as_object(call.get("function") or call.get("custom"))
        for name in ("name", "arguments", "input"):
            self.take_text((key, name), as_text(function.get(name)) or "")

    def _call_key(self, place: tuple[int, int], call_id: str | None) -> int:
        number, known_id = self._open_calls.get(place, (0, None))
        # Gemini's OpenAI endpoint gives every parallel call the index 0 and an id of its own.
        if number == 0 or (call_id and known_id and call_id != known_id):
            number = self.tool_calls = (self.tool_calls or 0) + 1
            known_id = None
        self._open_calls[place] = (number, known_id or call_id)
        return number


def _usage_elsewhere(data: JsonObject, choices: list[object]) -> object:
    """Return the usage object where Groq (`x_groq`) and Moonshot (in the choice) put it."""
    usage = as_object(data.get("x_groq")).get("usage")
    if usage is None and choices:
        usage = as_object(choices[0]).get("usage")
    return usage
