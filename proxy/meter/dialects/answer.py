"""What an answer has said so far: what all dialects share."""

from collections.abc import Hashable

from cab.proxy.meter.completion_text import Texts
from cab.proxy.meter.error_body import (
    EndpointError,
    error_from,
    error_in,
    error_in_body,
    error_of_finish,
)
from cab.proxy.meter.json_values import JsonObject, as_text, dump_text, is_object
from cab.proxy.meter.usage import USAGE_MEMBERS, chat_usage, merged

_MAX_USAGE_CHARS = 1 << 14
NOTHING_KNOWN = "the answer holds nothing that its dialect knows"


def tier_of(stated: str | None, usage: JsonObject) -> str | None:
    """Return the service tier of an answer: the one stated beside its usage, or in it (Anthropic)."""
    return stated or as_text(usage.get("service_tier"))


class Answer:
    """One answer of one dialect, built up from the events of a stream or from one body.

    The reader of the bytes hands the parts over: `add_event`, `add_done`, `add_body`, `end`. A dialect
    says what they mean: `read_event`, `read_body`, `finished`, `merge_usage`, `read_usage`.

    Args:
        limit_chars: How much of the answer's text is kept.
    """

    read_usage = staticmethod(chat_usage)
    """Returns the counts in the dialect's usage object."""
    takes_any_body = False
    """Whether what is neither JSON nor events may be an answer: a plain transcript, a sound, an image."""

    def __init__(self, limit_chars: int) -> None:
        self.model_served: str | None = None
        self.upstream_id: str | None = None
        self.system_fingerprint: str | None = None
        self.service_tier: str | None = None
        """As the last part names it that does: the first may say what was asked for."""
        self.finish_reasons: dict[int, str] = {}
        """By the index of the choice."""
        self.usage_raw: JsonObject | None = None
        """The usage object that stands so far."""
        self.usage_conflict: str | None = None
        """What the usage objects contradict each other in."""
        self.usage_final = False
        """Whether it covers the whole answer, even if the stream should break now."""
        self._usage_is_large = False
        self.complete = False
        """Whether the end was seen: the dialect's end mark, a whole body, or see `finished`."""
        self.recognized = False
        """Whether it holds anything of its dialect, so that it can be an answer at all."""
        self.deferred = False
        """Whether the endpoint took the request and generates the answer later."""
        self.delivered = False
        """Whether anything was generated: a text, reasoning, a refusal, a tool call."""
        self.delivered_media = False
        """Whether a sound or an image was generated, whose tokens cannot be counted from here."""
        self.first_delta_ns: int | None = None
        """When the first part came that delivered something; `None` for an answer in one piece."""
        self.tool_calls: int | None = None
        self.error: EndpointError | None = None
        self.finish_error: EndpointError | None = None
        """What a finish reason says went wrong: less than an error that is stated, before it or after."""
        self.warnings: list[str] = []
        """What could not be understood."""
        self.texts = Texts(limit_chars)
        self.pieces = 0
        """Number of the pieces of text so far."""
        self.last_piece: tuple[Hashable, str] = ("", "")
        """Where the last of them belongs, and what it is."""
        self.piece_repeats = True
        """Whether another piece in the same place of the same object means no more than itself."""

    def add_event(self, name: bytes, data: JsonObject, at_ns: int | None) -> bool:
        """Take one part of a stream.

        Args:
            name: The event's name, empty if it has none.
            data: Its data.
            at_ns: When it came, `None` if the parts came all at once.

        Returns:
            Whether it tells the client that the answer is complete.
        """
        terminal = self.read_event(name.decode("utf-8", "replace") if name else "", data)
        if self.error is None:
            stated = name == b"error" or data.get("type") == "error"
            self.error = (error_in_body(data) or error_from(data)) if stated else error_in(data)
        if self.first_delta_ns is None and self.delivered:
            self.first_delta_ns = at_ns
        return terminal

    def add_done(self) -> None:
        """Take `data: [DONE]`, which completes the answer in some dialects."""

    def add_body(self, data: JsonObject, *, clean: bool) -> None:
        """Take the whole answer as one object; `clean` unless the connection broke."""
        self.read_body(data)
        if self.error is None:
            self.error = error_in(data) if self.recognized else error_in_body(data)
        self.complete = clean
        self._warn_if_nothing_is_known()

    def add_file(self, *, clean: bool) -> None:
        """Take the whole answer as a text or a file, which states nothing."""
        self.recognized = self.delivered = True
        self.complete = clean

    def end(self, *, clean: bool) -> None:
        """Take the end of a stream; `clean` unless the connection broke."""
        self.complete = self.complete or (clean and self.finished())
        self._warn_if_nothing_is_known()

    def read_event(self, kind: str, data: JsonObject, /) -> bool:
        """Read one event of a stream; return whether it is the dialect's end mark."""
        raise NotImplementedError

    def read_body(self, data: JsonObject) -> None:
        """Read the whole answer."""
        raise NotImplementedError

    def finished(self) -> bool:
        """Whether an end of the stream without the dialect's own end mark leaves nothing open."""
        return bool(self.finish_reasons)

    def merge_usage(self, raw: JsonObject) -> JsonObject:
        """Return the usage object that stands once `raw` has come after others."""
        return merged(self.usage_raw, raw) if self.usage_raw else raw

    def take_usage_of(self, holder: JsonObject, *, final: bool) -> bool:
        """Note the usage objects of a part of an answer, whichever dialect names them; return whether there is one."""
        found = [holder[name] for name in USAGE_MEMBERS if holder.get(name) is not None]
        for raw in found:
            self.take_usage(raw, final=final)
        return bool(found)

    def take_usage(self, raw: object, *, final: bool) -> None:
        """Note a usage object; `None` and `{}` say nothing."""
        if raw is None:
            return
        if not is_object(raw):
            self.warn("usage is not an object")
        elif self._usage_is_large:
            self.warn(f"usage is over {_MAX_USAGE_CHARS} characters")
        elif raw:
            usage = self.merge_usage(raw)
            # Each usage object is merged with all before it: a large one is the last.
            self._usage_is_large = len(dump_text(usage)) > _MAX_USAGE_CHARS
            self.usage_raw, self.usage_final = usage, final

    def take_error(self, data: JsonObject) -> None:
        """Note the error that a part of the answer states; the first one stands."""
        if self.error is None:
            self.error = error_in(data)

    def take_finish(self, index: int, reason: object) -> None:
        """Note a finish reason, which may be an error; the text `null` is none."""
        text = as_text(reason)
        if text is not None and text.lower() != "null":
            self.finish_reasons[index] = text
            self.finish_error = self.finish_error or error_of_finish(text)

    def take_identity(self, data: JsonObject) -> None:
        """Note id, model and fingerprint: the first that are given stand; and the service tier."""
        if self.upstream_id is None:
            self.upstream_id = as_text(data.get("id"))
        if self.model_served is None:
            self.model_served = as_text(data.get("model"))
        if self.system_fingerprint is None:
            self.system_fingerprint = as_text(data.get("system_fingerprint"))
        if "service_tier" in data:
            self.service_tier = as_text(data["service_tier"]) or self.service_tier

    def take_text(self, key: Hashable, piece: str) -> None:
        """Note a piece of something generated."""
        if piece:
            self.delivered = True
            self.pieces += 1
            self.last_piece = key, piece
            self.piece_repeats = True
            self.texts.add(key, piece)

    def more_texts(self, pieces: list[str]) -> None:
        """Note pieces that came as the last one did; none is empty."""
        if pieces:
            key = self.last_piece[0]
            self.delivered = self.piece_repeats = True
            self.pieces += len(pieces)
            self.last_piece = key, pieces[-1]
            self.texts.add_all(key, pieces)

    def facts(self) -> tuple[object, ...]:
        """Return what an event can change besides the texts, to see whether one did."""
        return (
            *(
                self.usage_raw,
                self.usage_conflict,
                self.usage_final,
                self.complete,
                self.recognized,
            ),
            *(self.deferred, self.delivered, self.delivered_media, self.first_delta_ns),
            *(self.tool_calls, self.error, self.finish_error, self.upstream_id, self.model_served),
            *(self.system_fingerprint, len(self.finish_reasons), len(self.warnings)),
            self.service_tier,
        )

    def warn(self, warning: str) -> None:
        """Note what could not be understood, each thing once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _warn_if_nothing_is_known(self) -> None:
        known = (self.recognized, self.delivered, self.usage_raw, self.error, self.upstream_id)
        if not any(known):
            self.warn(NOTHING_KNOWN)
