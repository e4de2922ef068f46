"""What an answer has said so far: the common ground of the dialects."""

from collections.abc import Hashable

from cab.proxy.meter.completion_text import Texts
from cab.proxy.meter.error_body import EndpointError, fault_in, fault_in_body
from cab.proxy.meter.json_values import JsonObject, as_text, is_object
from cab.proxy.meter.usage import Usage, UsageReader, chat_usage


class Answer:
    """One answer of one dialect, built up from the events of a stream or from one body.

    Args:
        limit_chars: How much of the answer's text is kept.
    """

    def __init__(self, limit_chars: int) -> None:
        self.model_served: str | None = None
        self.upstream_id: str | None = None
        self.system_fingerprint: str | None = None
        self.finish: dict[int, str] = {}
        """Finish reason by the index of the choice."""
        self.usage_raw: JsonObject | None = None
        """The usage object that stands so far."""
        self.usage_final = False
        """Whether it covers the whole answer, even if the stream should break now."""
        self.complete = False
        """Whether the dialect's own end was seen."""
        self.delivered = False
        """Whether anything was generated: a text, reasoning, a refusal, a tool call."""
        self.error: EndpointError | None = None
        self.complaints: list[str] = []
        """What could not be understood."""
        self.texts = Texts(limit_chars)

    def event(self, kind: str, data: JsonObject, /) -> bool:
        """Take one event of a stream.

        Args:
            kind: The event's name, empty if it has none.
            data: Its data.

        Returns:
            Whether it tells the client that the answer is complete.
        """
        raise NotImplementedError

    def body(self, data: JsonObject) -> None:
        """Take the whole answer as one object."""
        raise NotImplementedError

    def done(self) -> None:
        """Take `data: [DONE]`, which ends a stream in some dialects."""

    def finished(self) -> bool:
        """Whether an end of the stream without the dialect's own end mark leaves nothing open."""
        return bool(self.finish)

    def tool_calls(self) -> int | None:
        """Return the number of tool calls, `None` where it is not known."""
        return None

    def read_usage(self, reader: UsageReader) -> Usage:
        """Return the counts in the dialect's usage object."""
        return chat_usage(reader)

    def take_error(self, data: JsonObject) -> None:
        """Note an `error` member; the first one stands."""
        if self.error is None:
            self.error = fault_in(data)

    def take_body_error(self, data: JsonObject) -> None:
        """Note the error of a refused request."""
        self.error = fault_in_body(data)

    def take_usage(self, raw: object, *, final: bool) -> None:
        """Let a usage object replace the one before; `None` and `{}` say nothing."""
        if raw is None or raw == {}:
            return
        if not is_object(raw):
            self.complain("usage is no object")
            return
        self.usage_raw = raw
        self.usage_final = final

    def take_identity(self, data: JsonObject) -> None:
        """Note id, model and fingerprint: the first that are given stand."""
        if self.upstream_id is None:
            self.upstream_id = as_text(data.get("id"))
        if self.model_served is None:
            self.model_served = as_text(data.get("model"))
        if self.system_fingerprint is None:
            self.system_fingerprint = as_text(data.get("system_fingerprint"))

    def take_text(self, key: Hashable, piece: str) -> None:
        """Note a piece of something generated."""
        if piece:
            self.delivered = True
            self.texts.add(key, piece)

    def doubt(self) -> None:
        """Complain if the answer is over and has said nothing that the dialect knows."""
        known = (self.delivered, self.finish, self.usage_raw, self.error, self.upstream_id)
        if not any(known):
            self.complain("the answer holds nothing that its dialect knows")

    def complain(self, complaint: str) -> None:
        """Note what could not be understood, each thing once."""
        if complaint not in self.complaints:
            self.complaints.append(complaint)
