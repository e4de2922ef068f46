"""Sounds: `POST .../audio/transcriptions`, `/translations` and `/speech`.

What they state is usage in tokens, or the seconds of the sound, or nothing: a transcript may come as a plain text, and
speech comes as a file unless `stream_format` is `sse`. https://platform.openai.com/docs/api-reference/audio
"""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.dialects.chat import ChatAnswer
from cab.proxy.meter.json_values import JsonObject, as_text
from cab.proxy.meter.usage import media_usage

TRANSCRIBED = ("transcript.text.done",)
"""Events that end a transcript."""
SPOKEN = ("speech.audio.done",)
"""Events that end a speech."""


class TranscriptionAnswer(ChatAnswer):
    """An answer that holds a transcript or a translation.

    OpenAI streams events of its own, vLLM the chunks of a chat.
    """

    read_usage = staticmethod(media_usage)
    takes_any_body = True

    def read_event(self, kind: str, data: JsonObject, /) -> bool:
        """Read one event; the one with the whole transcript ends the stream."""
        kind = as_text(data.get("type")) or kind
        self.read_body(data)
        self.recognized = self.recognized or kind.startswith("transcript.")
        if kind == "transcript.text.delta":
            self.take_text(kind, as_text(data.get("delta")) or "")
        self.complete = self.complete or kind in TRANSCRIBED
        return kind in TRANSCRIBED

    def read_body(self, data: JsonObject) -> None:
        """Read a whole transcript, which may be empty, or one chunk."""
        super().read_body(data)
        self.recognized = self.recognized or isinstance(data.get("text"), str)
        self.delivered = self.delivered or bool(data.get("text"))


class SpeechAnswer(Answer):
    """An answer that holds a sound."""

    read_usage = staticmethod(media_usage)
    takes_any_body = True

    def read_event(self, kind: str, data: JsonObject, /) -> bool:
        """Read one event; the one with the usage ends the stream."""
        kind = as_text(data.get("type")) or kind
        self.read_body(data)
        self.recognized = self.recognized or kind.startswith("speech.audio.")
        self.complete = self.complete or kind in SPOKEN
        return kind in SPOKEN

    def read_body(self, data: JsonObject) -> None:
        """Read a whole sound in JSON, or a part of one."""
        self.take_identity(data)
        self.take_usage_of(data, final=True)
        self.delivered = self.delivered or bool(data.get("audio"))
        self.recognized = self.recognized or self.delivered

    def finished(self) -> bool:
        """Return false: without its terminal event a stream is never complete."""
        return False
