"""Anthropic's `usage.iterations`: what each pass over a model read and wrote.

The counts at the top leave passes out: compaction
(https://platform.claude.com/docs/en/build-with-claude/compaction), advisors
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool), attempts that another model
replaced (https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback). The sum of the
entries is what was billed, but for an attempt that declined before any output: it stands in its entry and
is not charged. The counts at the top are only checked against the entries.
"""

from typing import NamedTuple

from cab.proxy.meter.json_values import JsonObject, as_list, as_object, as_text
from cab.proxy.meter.usage.counts import Usage, UsageReader

_FALLBACK = "fallback_message"
_KNOWN = ("message", "compaction", "advisor_message", _FALLBACK)


class MessageCounts(NamedTuple):
    """Counts as Anthropic states them: the three of the input exclude each other."""

    fresh: int | None
    output: int | None
    read: int | None
    written: int | None

    @property
    def plain(self) -> tuple[int, ...]:
        """The counts where an absent one is 0."""
        return tuple(count or 0 for count in self)

    def usage(self) -> Usage:
        """Return them in the one convention."""
        fresh, output, read, written = self
        prompt = None if fresh is None else fresh + (read or 0) + (written or 0)
        return Usage(prompt, output, None, read, written)


def message_counts(reader: UsageReader) -> MessageCounts:
    """Return the counts of a message, or of one of its iterations."""
    written = reader.count("cache_creation_input_tokens")
    if reader.raw.get("cache_creation") is not None:
        lifetimes = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
        parts = [reader.count("cache_creation", name) for name in lifetimes]
        if parts != [None, None]:
            whole = sum(part or 0 for part in parts)
            if written is not None and written != whole:
                reader.fault("cache_creation is not the sum of its parts")
            written = whole if written is None else written
    return MessageCounts(
        fresh=reader.count("input_tokens"),
        output=reader.count("output_tokens"),
        read=reader.count("cache_read_input_tokens"),
        written=written,
    )


def with_iterations(reader: UsageReader, top: MessageCounts) -> MessageCounts:
    """Return the counts of all passes; `top` where none are listed.

    The reader gets a part for each of them.
    """
    entries = [as_object(entry) for entry in as_list(reader.raw.get("iterations"))]
    if not entries:
        return top
    kinds = [as_text(entry.get("type")) for entry in entries]
    counts = [_entry_counts(reader, entry) for entry in entries]
    counts = _with_caches_of_the_top(kinds, counts, top)
    listed = {"message", _FALLBACK} & {*kinds} or not {*_KNOWN} & {*kinds}
    if not listed and any(top.plain) and top.plain != _sum(counts).plain:
        # The answer itself is not among the entries. The top states it: by the vendor's rule it holds all
        # passes but compactions and advisors.
        reader.note("usage.iterations leaves the answer out, which is added as the top states it")
        entries, kinds, counts = [*entries, {}], [*kinds, "message"], [*counts, top]
    billed: list[bool | None] = []
    for kind, count in zip(kinds, counts, strict=True):
        declined = kind == "message" and _FALLBACK in kinds and count.output == 0
        billed.append(not declined if kind in _KNOWN else None)
    for entry, kind, count, charged in zip(entries, kinds, counts, billed, strict=True):
        reader.parts.append(_part(kind, as_text(entry.get("model")), count, charged))
    if None in billed:
        reader.fault("usage.iterations has an entry of an unknown type, which is not added")
    passes = list(zip(kinds, counts, strict=True))
    charged_counts = [count for count, charged in zip(counts, billed, strict=True) if charged]
    if not charged_counts:
        return top
    whole = _sum(charged_counts)
    if not _agrees(top, passes, whole):
        reader.fault("usage.iterations does not agree with the counts beside it")
    if whole.plain != top.plain:
        reader.note("usage.iterations was added up")
    return whole


def _entry_counts(reader: UsageReader, entry: JsonObject) -> MessageCounts:
    inner = UsageReader(entry)
    counts = message_counts(inner)
    for warning in inner.warnings:
        reader.warn(warning.replace("usage.", "usage.iterations.", 1))
    for note in inner.notes:
        reader.note(note)
    for fault in inner.faults:
        reader.fault(fault)
    if counts.fresh is None or counts.output is None:
        reader.fault("usage.iterations has an entry without its counts")
    return counts


def _with_caches_of_the_top(
    kinds: list[str | None], counts: list[MessageCounts], top: MessageCounts
) -> list[MessageCounts]:
    """Return the counts with the cached tokens that only the top states.

    LiteLLM makes up entries that leave them out; they are put to the first message.
    """
    stated = any(part is not None for count in counts for part in (count.read, count.written))
    if stated or "message" not in kinds or not (top.read or top.written):
        return counts
    first = kinds.index("message")
    with_caches = counts[first]._replace(read=top.read, written=top.written)
    return [*counts[:first], with_caches, *counts[first + 1 :]]


def _agrees(
    top: MessageCounts, passes: list[tuple[str | None, MessageCounts]], whole: MessageCounts
) -> bool:
    """Return whether the counts at the top are one of the sums that the vendor puts there."""
    kinds = [kind for kind, _ in passes]
    served = "message" if _FALLBACK not in kinds else _FALLBACK
    answers = [count for kind, count in passes if kind == served]
    if not answers:
        return top.plain == whole.plain or not any(top.plain)
    total = _sum(answers)
    # With an advisor the input may be that of the first message alone, while the output is summed.
    first = answers[0]._replace(output=total.output)
    accepted = [total.plain, whole.plain]
    if "advisor_message" in kinds:
        accepted.append(first.plain)
    if served == _FALLBACK:
        accepted.append(answers[-1].plain)
    return top.plain in accepted


def _sum(counts: list[MessageCounts]) -> MessageCounts:
    columns = [
        [number for number in column if number is not None] for column in zip(*counts, strict=True)
    ]
    return MessageCounts(*(sum(column) if column else None for column in columns))


def _part(
    kind: str | None,
    model: str | None,
    counts: MessageCounts,
    billed: bool | None,
) -> JsonObject:
    usage = counts.usage()
    return {
        "type": kind,
        "model": model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "billed": billed,
    }
