"""Reranking: `POST .../rerank`, as Cohere, Jina, vLLM and Together have it."""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, as_list
from cab.proxy.meter.usage import Usage, UsageReader, embeddings_usage


def rerank_usage(reader: UsageReader) -> Usage:
    """Return the counts of a reranking: nothing is written, so a total alone is the prompt.

    Older answers of Jina say `prompt_tokens: 0` beside their total, OpenRouter's name the total only.
    """
    usage = embeddings_usage(reader)
    if usage.total_tokens and not usage.prompt_tokens and not usage.completion_tokens:
        return usage._replace(prompt_tokens=usage.total_tokens, completion_tokens=0)
    return usage


class RerankAnswer(Answer):
    """An answer that holds scores; the dialect has no streams."""

    read_usage = staticmethod(rerank_usage)

    def read_event(self, _kind: str, data: JsonObject, /) -> bool:
        """Read a part of an answer from an endpoint that streams all the same."""
        self.read_body(data)
        return False

    def read_body(self, data: JsonObject) -> None:
        """Read the whole answer."""
        self.take_identity(data)
        self.take_usage(data.get("usage"), final=True)
        scores = as_list(data.get("results")) or as_list(data.get("data"))
        self.recognized = self.delivered = self.delivered or bool(scores)
