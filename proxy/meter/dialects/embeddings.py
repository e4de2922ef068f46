"""Embeddings: `POST .../embeddings`."""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, as_list
from cab.proxy.meter.usage import Usage, UsageReader, embeddings_usage


class EmbeddingsAnswer(Answer):
    """An answer that holds vectors; the dialect has no streams."""

    def event(self, _kind: str, data: JsonObject, /) -> bool:
        """Take a part of an answer from an endpoint that streams all the same."""
        self.body(data)
        return False

    def body(self, data: JsonObject) -> None:
        """Take the whole answer."""
        self.take_identity(data)
        self.take_usage(data.get("usage"), final=True)
        vectors = as_list(data.get("data"))
        self.delivered = self.delivered or bool(vectors)
        if not vectors:
            self.take_body_error(data)

    def read_usage(self, reader: UsageReader) -> Usage:
        """Return the counts in the dialect's usage object."""
        return embeddings_usage(reader)
