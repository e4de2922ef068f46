"""Reranking: `POST .../rerank`, as Cohere, Jina, vLLM and Together have it."""

from cab.proxy.meter.dialects.embeddings import EmbeddingsAnswer
from cab.proxy.meter.usage import Usage, UsageReader, embeddings_usage


def rerank_usage(reader: UsageReader) -> Usage:
    """Return the counts of a reranking: nothing is written, so a total alone is the prompt.

    Older answers of Jina say `prompt_tokens: 0` beside their total, OpenRouter's name the total only.
    """
    usage = embeddings_usage(reader)
    if usage.total_tokens and not usage.prompt_tokens and not usage.completion_tokens:
        return usage._replace(prompt_tokens=usage.total_tokens, completion_tokens=0)
    return usage


class RerankAnswer(EmbeddingsAnswer):
    """An answer that holds scores."""

    read_usage = staticmethod(rerank_usage)
    members = ("results", "data")
    item_members = (
        "score",
        "relevance_score",
    )  # SGLang and text-embeddings-inference send a bare list
