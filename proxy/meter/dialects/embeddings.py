"""Embeddings: `POST .../embeddings`."""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, as_list, as_object
from cab.proxy.meter.usage import embeddings_usage

_META = ("tokens", "billed_units")
"""Members of Cohere's `meta` that hold usage."""


class EmbeddingsAnswer(Answer):
    """An answer that holds vectors; the dialect has no streams."""

    read_usage = staticmethod(embeddings_usage)
    members: tuple[str, ...] = ("data",)
    """Members that may hold what was asked for."""
    item_members: tuple[str, ...] = ("embedding",)
    """What makes an object an item of an answer that is a bare list, as llama.cpp sends it under `/embeddings`."""

    def read_event(self, _kind: str, data: JsonObject, /) -> bool:
        """Read an item of a bare list, or a part of an answer from an endpoint that streams all the same."""
        self.read_body(data)
        if not self.delivered and any(name in data for name in self.item_members):
            self.recognized = self.delivered = True
        return False

    def finished(self) -> bool:
        """Whether anything came: a bare list has no other end mark than its own."""
        return self.delivered

    def read_body(self, data: JsonObject) -> None:
        """Read the whole answer."""
        self.take_identity(data)
        self.take_usage_of(data, final=True)
        meta = as_object(data.get("meta"))
        stated = {name: meta[name] for name in _META if meta.get(name) is not None}
        self.take_usage(stated or None, final=True)
        found = any(as_list(data.get(name)) for name in self.members)
        self.recognized = self.delivered = self.delivered or found
