"""Images: `POST .../images/generations`, `/edits` and `/variations`.

https://platform.openai.com/docs/api-reference/images and its streaming events; only models that are paid by
tokens state usage.
"""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, as_list, as_text
from cab.proxy.meter.usage import media_usage


class ImagesAnswer(Answer):
    """An answer that holds images, in one piece or as events."""

    read_usage = staticmethod(media_usage)
    takes_any_body = True

    def __init__(self, limit_chars: int) -> None:
        super().__init__(limit_chars)
        self._whole_images = 0

    def read_event(self, kind: str, data: JsonObject, /) -> bool:
        """Read one event. None ends the stream: there is one of a whole image for each image."""
        kind = as_text(data.get("type")) or kind
        if kind.startswith(("image_generation.", "image_edit.")):
            self.recognized = self.delivered = True
        if kind.endswith(".completed"):
            self._whole_images += 1
            if self.usage_raw and data.get("usage") and self._whole_images > 1:
                self.usage_conflict = "usage was stated for each of several images"
        self.read_body(data)
        return False

    def read_body(self, data: JsonObject) -> None:
        """Read all images, or one of them."""
        self.take_identity(data)
        self.take_usage_of(data, final=True)
        self.delivered = self.delivered or bool(as_list(data.get("data")))
        self.recognized = self.recognized or self.delivered

    def finished(self) -> bool:
        """Whether an image came whole."""
        return self._whole_images > 0
