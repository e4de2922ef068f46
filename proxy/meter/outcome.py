"""What the meter says about one call once its answer is over."""

from dataclasses import dataclass
from typing import Literal

from cab.proxy.meter.dialects.answer import NOTHING_KNOWN, Answer, tier_of
from cab.proxy.meter.error_body import EndpointError, error_of_status
from cab.proxy.meter.json_values import JsonObject, clean, clean_or_none, parse_object
from cab.proxy.meter.request.canonical import is_large
from cab.proxy.meter.usage import Usage, UsageReading, cost_usd, read_usage

_MAX_WARNINGS = 3
_NO_USAGE = UsageReading(None, None, [], [], [], [], generates=True)


@dataclass(slots=True)  # not frozen: setting 28 fields then takes five times as long, for each call
class Outcome:
    """What the record needs of an answer. Unknown is `None`."""

    model_served: str | None
    """Model named in the answer."""
    upstream_id: str | None
    """The endpoint's own id of the answer."""
    system_fingerprint: str | None
    """As the endpoint reports it."""
    service_tier: str | None
    """As the endpoint names it."""
    finish_reason: str | None
    """Of the first choice that has one, as the dialect reports it."""
    finish_reasons: list[str] | None
    """Of all choices in their order, when there are several."""
    usage: Usage | None
    """The endpoint's counts in one convention, see `usage`."""
    usage_raw: JsonObject | None
    """The endpoint's usage object, verbatim; several of one stream are merged member by member."""
    usage_status: Literal["complete", "partial", "inconsistent", "overflow"] | None
    """`overflow` if a count is larger than any that a call can have, and so unknown; `partial` if the answer went on, or broke off, after the endpoint last reported usage, or if a
    count is missing; `inconsistent` if the counts contradict each other or the answer."""
    usage_final: bool
    """Whether the usage covers the whole answer."""
    usage_parts: list[JsonObject] | None
    """Usage of each pass over a model, where the endpoint states it."""
    usage_note: str | None
    """Where a rule changed what the endpoint stated, and what contradicts itself."""
    cost_usd: str | None
    """The price that the endpoint reports, as decimal text."""
    complete: bool
    """Whether the dialect's own end was seen, its terminal event or a body parsed whole, and with it
    something of the dialect: an answer, or an error."""
    begun: bool
    """Whether an answer began: something of the dialect came, or a stream that broke off before."""
    deferred: bool
    """Whether the endpoint took the request and generates the answer later."""
    delivered: bool
    """Whether anything generated was seen."""
    delivered_media: bool
    """Whether a sound or an image was generated, whose tokens cannot be counted here."""
    first_delta_ns: int | None
    """When the first non-empty delta of a stream came; `None` for an answer in one piece."""
    last_byte_ns: int | None
    """When the last byte came."""
    response_bytes: int
    """Bytes received, as they came."""
    tool_calls: int | None
    """Tool calls in the answer."""
    error: EndpointError | None
    """What the endpoint says went wrong, as it says it: secrets are not removed."""
    unmetered: str | None
    """What could not be understood."""
    completion_texts: list[str]
    """The texts of the answer, for counting them where no usage came."""
    texts_truncated: bool
    """Whether the texts are not all of it."""
    request_body: bytes
    """The body as the client sent it."""

    @property
    def request_json(self) -> JsonObject | None:
        """The request as a JSON object, parsed on each call; `None` if it is none, or large."""
        return None if is_large(self.request_body) else parse_object(self.request_body)


@dataclass(slots=True)
class Transfer:
    """What is known of an answer apart from what it says."""

    status: int
    last_byte_ns: int | None
    response_bytes: int
    is_cut_stream: bool
    """Whether it was a stream of events that broke off, be it behind its head."""
    warnings: list[str]
    """What the meter could not do."""


def outcome_of(answer: Answer, transfer: Transfer, request_body: bytes) -> Outcome:
    """Return the outcome of a call."""
    reading = _NO_USAGE
    if answer.usage_raw is not None:
        reading = read_usage(answer.usage_raw, answer.read_usage)
    usage, raw, warnings = reading[:3]
    faults = _faults(answer, reading)
    # Noise between well-formed parts does not matter once the endpoint's own count is there.
    noise = transfer.warnings + answer.warnings if usage is None else []
    unclear = warnings + [warning for warning in noise if warning not in warnings]
    reasons = [clean(reason) for _, reason in sorted(answer.finish_reasons.items())]
    final = answer.usage_final or answer.complete
    error = answer.error or answer.finish_error or error_of_status(transfer.status)
    generated = usage is not None and (usage.completion_tokens or 0) > 0
    known = answer.recognized or answer.delivered or generated or error is not None
    if answer.complete and not known:
        error = EndpointError("not_understood", "; ".join(unclear[:_MAX_WARNINGS]) or NOTHING_KNOWN)
    return Outcome(
        model_served=clean_or_none(answer.model_served),
        upstream_id=clean_or_none(answer.upstream_id),
        system_fingerprint=clean_or_none(answer.system_fingerprint),
        service_tier=clean_or_none(tier_of(answer.service_tier, answer.usage_raw or {})),
        finish_reason=reasons[0] if reasons else None,
        finish_reasons=reasons if len(reasons) > 1 else None,
        usage=usage,
        usage_raw=raw,
        usage_status="overflow" if reading.overflow else _status(usage, faults, final=final),
        usage_final=final,
        usage_parts=_parts(answer, reading),
        usage_note="; ".join(reading.notes + faults) or None,
        cost_usd=None if raw is None else cost_usd(raw),
        complete=answer.complete and known and not answer.deferred,
        begun=answer.recognized or answer.delivered or transfer.is_cut_stream,
        deferred=answer.deferred,
        delivered=answer.delivered,
        delivered_media=answer.delivered_media,
        first_delta_ns=answer.first_delta_ns,
        last_byte_ns=transfer.last_byte_ns,
        response_bytes=transfer.response_bytes,
        tool_calls=answer.tool_calls,
        error=error,
        unmetered="; ".join(unclear[:_MAX_WARNINGS]) or None,
        completion_texts=answer.texts.joined(),
        texts_truncated=answer.texts.truncated,
        request_body=request_body,
    )


def _status(
    usage: Usage | None, faults: list[str], *, final: bool
) -> Literal["complete", "partial", "inconsistent"] | None:
    if usage is None:
        return None
    if not final or usage.prompt_tokens is None or usage.completion_tokens is None:
        return "partial"
    return "inconsistent" if faults else "complete"


def _faults(answer: Answer, reading: UsageReading) -> list[str]:
    """Return what the usage contradicts: itself, an earlier usage of the answer, the answer."""
    faults = [*reading.faults]
    if answer.usage_conflict is not None:
        faults.append(answer.usage_conflict)
    written = None if reading.usage is None else reading.usage.completion_tokens
    if written == 0 and answer.delivered and reading.generates:
        faults.append("completion 0 beside an answer that holds something")
    return faults


def _parts(answer: Answer, reading: UsageReading) -> list[JsonObject] | None:
    """Return the parts with their models; where none is named it is the answer's own."""
    if not reading.parts:
        return None
    own = clean_or_none(answer.model_served)
    return [
        {**part, "model": _cleaned(part["model"]) or own, "type": _cleaned(part["type"])}
        for part in reading.parts
    ]


def _cleaned(value: object) -> str | None:
    return clean(value) if isinstance(value, str) else None
