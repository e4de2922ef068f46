"""Chat completions: `POST .../chat/completions`."""

from cab.proxy.meter.completion_text import text_of
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import (
    JsonObject,
    as_count,
    as_list,
    as_object,
    as_text,
    dump_text,
    is_object,
)
from cab.scoring.evidence.messages.tool_calls import StreamedCall

_REASONING = frozenset(("reasoning_content", "reasoning"))
_CHOICE = frozenset(("delta", "message", "text", "finish_reason"))
"""What makes an object a choice of an answer."""
_FOLLOWED_CHARS = 1 << 20
"""How much of all arguments is looked at for their end; what is longer goes on for ever."""
_TEXTS = frozenset(("content", "refusal")) | _REASONING


class ChatAnswer(Answer):
    """An answer in the OpenAI chat dialect and its many variations."""

    def __init__(self, limit_chars: int) -> None:
        super().__init__(limit_chars)
        self._choices: set[int] = set()
        self._open_calls: dict[tuple[int, int], StreamedCall] = {}
        self._streamed: StreamedCall | None = None
        """The call of the last fragment."""
        self._last_calls: dict[int, StreamedCall] = {}
        self._room_chars = _FOLLOWED_CHARS

    def read_event(self, _kind: str, data: JsonObject, /) -> bool:
        """Read one chunk; none of them ends the stream, `[DONE]` does."""
        self.read_body(data)
        return False

    def add_done(self) -> None:
        """Take `data: [DONE]`, the dialect's end."""
        self.complete = True

    def finished(self) -> bool:
        """Whether every choice has given its finish reason."""
        return bool(self.finish_reasons) and len(self.finish_reasons) >= len(self._choices)

    def read_body(self, data: JsonObject) -> None:
        """Read a whole completion, or one chunk."""
        self.take_identity(data)
        if "x_groq" in data:
            self.take_error(as_object(data["x_groq"]))
        choices = as_list(data.get("choices"))
        for position, choice in enumerate(choices):
            self._choice(position, as_object(choice))
        final = bool(self.finish_reasons)
        if not self.take_usage_of(data, final=final):
            self.take_usage(_usage_elsewhere(data, choices), final=final)

    def _choice(self, position: int, choice: JsonObject) -> None:
        index = as_count(choice.get("index"))
        index = position if index is None else index
        self._choices.add(index)
        self.recognized = self.recognized or not _CHOICE.isdisjoint(choice)
        self.read_content(index, choice)
        if "error" in choice:
            self.take_error({"error": choice["error"]})
        self.take_finish(index, choice.get("finish_reason"))

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
                self.delivered = True
                self.delivered_media = self.delivered_media or name != "reasoning_details"

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
        function = as_object(call.get("function") or call.get("custom"))
        call_id = as_text(call.get("id"))
        name = as_text(function.get("name")) or ""
        arguments = _arguments(function.get("arguments"))
        known = self._call_at(place, call_id, name, arguments)
        self.take_text((known.number, "name"), "" if name == known.name else name)
        self._room_chars -= len(arguments)
        known.take(call_id, name, arguments if self._room_chars >= 0 else "")
        self.take_text((known.number, "arguments"), arguments)
        self.take_text((known.number, "input"), as_text(function.get("input")) or "")
        # With a name or an id a fragment may begin another call, depending on what came before.
        self.piece_repeats = not name and not call_id
        self._streamed = known

    def more_texts(self, pieces: list[str]) -> None:
        """Note pieces that came as the last one did."""
        streamed = self._streamed
        if streamed is not None and self.last_piece[0] == (streamed.number, "arguments"):
            for piece in pieces:
                self._room_chars -= len(piece)
                streamed.take(None, "", piece if self._room_chars >= 0 else "")
        super().more_texts(pieces)

    def _call_at(
        self, place: tuple[int, int], call_id: str | None, name: str, arguments: str
    ) -> StreamedCall:
        """Return the call that a fragment belongs to, which may be a new one."""
        known = self._open_calls.get(place)
        if known is None:
            # SGLang has numbered a call's first fragment in another way than the later ones.
            known = None if name or call_id else self._last_calls.get(place[0])
        elif not known.goes_on_with(call_id, name, arguments):
            known = None
        if known is None:
            self.tool_calls = (self.tool_calls or 0) + 1
            known = self._open_calls[place] = StreamedCall(self.tool_calls)
        self._last_calls[place[0]] = known
        return known


def _arguments(value: object) -> str:
    """Return arguments as text; some endpoints send them as the object itself."""
    return dump_text(value) if is_object(value) else as_text(value) or ""


def _usage_elsewhere(data: JsonObject, choices: list[object]) -> object:
    """Return the usage object where Groq (`x_groq`) and Moonshot (in the choice) put it."""
    usage = as_object(data.get("x_groq")).get("usage")
    if usage is None and choices:
        usage = as_object(choices[0]).get("usage")
    return usage
