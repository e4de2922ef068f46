"""Text completions: `POST .../completions`."""

from cab.proxy.meter.completion_text import text_of
from cab.proxy.meter.dialects.chat import ChatAnswer
from cab.proxy.meter.json_values import JsonObject


class CompletionsAnswer(ChatAnswer):
    """An answer in the older dialect: as chat, with a `text` where chat has a message, and no tool calls."""

    def read_content(self, index: int, choice: JsonObject) -> None:
        """Read what a choice has generated."""
        self.take_text((index, "text"), text_of(choice.get("text")))
