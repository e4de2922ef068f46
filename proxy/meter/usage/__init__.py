"""Token counts in one convention, whatever the dialect's own.

The convention: `prompt_tokens` is all that the model read, cached tokens included;
`completion_tokens` is all that it wrote, reasoning included; `cache_read_tokens`,
`cache_write_tokens` and `reasoning_tokens` are parts of these two, `None` where the endpoint does not
report them; `total_tokens` is the sum of the two, or the endpoint's own total where the two are not
known or do not agree with it. An explicit zero stays a zero; an absent count stays `None`.

    how the usage objects of one answer become one       merging
    which member of which dialect holds which count      fields
    Anthropic's `iterations`                             iterations
    what must hold between counts, in every dialect      invariants
    the endpoint's price                                 cost
"""

from cab.proxy.meter.usage.cost import cost_usd
from cab.proxy.meter.usage.counts import Usage, UsageReader
from cab.proxy.meter.usage.fields import (
    USAGE_MEMBERS,
    chat_usage,
    embeddings_usage,
    gemini_usage,
    media_usage,
    messages_usage,
    responses_usage,
)
from cab.proxy.meter.usage.merging import counts_something, merged, merged_message
from cab.proxy.meter.usage.reading import UsageReading, read_usage

__all__ = [
    "USAGE_MEMBERS",
    "Usage",
    "UsageReader",
    "UsageReading",
    "chat_usage",
    "cost_usd",
    "counts_something",
    "embeddings_usage",
    "gemini_usage",
    "media_usage",
    "merged",
    "merged_message",
    "messages_usage",
    "read_usage",
    "responses_usage",
]
