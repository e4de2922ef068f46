"""An ordinary call's END is, byte for byte, what all the rules make of it; or there is none."""

import random
from dataclasses import replace
from typing import Any

import orjson
import pytest

from cab.proxy.accounting.prices import EndpointPrices
from cab.proxy.forwarding.endings import ending_of
from cab.proxy.ledger.call_records import CallContext, Counted, end_record, start_record
from cab.proxy.ledger.lines import EncodedRecord, encoded, fitting_line
from cab.proxy.ledger.ordinary_records import is_within_bounds, ordinary_end_record
from cab.proxy.meter import CallMeter, Outcome, dialect_for
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.clipping import bounded
from cab.scoring.prices.table import PriceTable, PriceTableFile
from tests.proxy.meter.drive import SSE, sliced
from tests.proxy.meter.mutations import BODIES, STREAMS, mutated, stream_of

CASES = 400
PRICED: list[bool] = []
"""Whether an ordinary record has a price."""
HELD, SENT = "held-key-9f8e7d6c5b4a", "sent-key-0a1b2c3d4e5f"
_RATES = {"input": 1, "cache_read": 0.1, "output": 2, "service_tiers": {"flex": {"input": 0.5}}}
PRICES = EndpointPrices(
    PriceTable(PriceTableFile.model_validate({"models": {"*": _RATES}}), "config"),
    "acme",
    "http://h",
)
REQUESTS = [
    b'{"model":"m","stream":true,"messages":[]}',
    b'{"model":"m","max_tokens":20}',
    b'{"n":2}',
]


def metered(
    path: str,
    chunks: list[bytes],
    content_type: str,
    length: int | None,
    body: bytes,
    *,
    short: bool,
    hold: bool = True,
    end: str = "finish",
) -> tuple[CallMeter, list[object]]:
    """Return a meter that has read an answer, and all that it gave out.

    Args:
        end: What follows the bytes: `finish`, `cut`, or nothing, where the record is made at the answer's end.
    """
    dialect = dialect_for("POST", path)
    assert dialect is not None
    dialect = dialect if short else replace(dialect, ordinary_body=None)
    meter = CallMeter(dialect, path, body, hold_terminal=hold)
    meter.start(200, content_type, "", length)
    out: list[object] = [meter.may_alter]
    for number, chunk in enumerate(chunks):
        output = meter.feed(chunk, 2_000_000 + 1_000_499 * number)
        out.append(output)
        if output.terminal and end == "nothing":
            return meter, out
        if output.terminal and number % 2:
            out.append(meter.release())
    if end == "finish":
        out += [meter.finish(9_000_000), meter.release()]
    elif end == "cut":
        out.append(meter.cut())
    return meter, out


def context_of(meter: CallMeter, path: str, chance: random.Random) -> CallContext:
    dialect = dialect_for("POST", path)
    assert dialect is not None
    return CallContext(
        call_id="01900000-0000-7000-8000-000000000000",
        cell_id=chance.choice(["s/t/m/f/t", f"s/t/{'m' * 300}/f/t", None]),
        endpoint=dialect.name,
        request=meter.request,
        request_bytes=40,
        user_agent=chance.choice([None, "", "agent/1.0", f"agent {SENT}", "x" * 300]),
        started_wall_ns=1_795_180_000_123_456_789,
        started_ns=1_000_000,
        seq=chance.choice([None, 1, 77]),
        attempt=chance.choice([1, 2]),
        retry_of=None,
        key_id=chance.choice([None, *["41f0c7a9d2b35e68"] * 9, "k" * 300]),
        upstream=chance.choice([*["api.openai.com"] * 9, "h" * 300]),
        route=chance.choice([None, 0, 3]),
        upstream_attempts=1,
        received_ns=1_500_500,
        forwarded_ns=1_600_000,
        slot_queued_ms=chance.choice([0.0, 0.0, 0.0, 1.5]),
        status=200,
        redactor=Redactor([HELD]).with_secrets([SENT]),
        prices=chance.choice([None, PRICES]),
    )


def by_all_rules(
    context: CallContext, outcome: Outcome, *, is_stream: bool
) -> dict[str, Any] | None:
    """Return the END as all rules make it; None if the tokens would have to be counted here."""
    if outcome.usage is None or not outcome.usage_final or outcome.finish_reasons:
        return None
    counted = Counted(outcome.usage, "upstream", outcome.usage_status)
    ending = ending_of(outcome, 8_000_000, client_gone=False, is_stream=is_stream)
    return bounded(end_record(context, outcome, counted, ending))


def compared(path: str, answer: bytes, chance: random.Random, content_type: str) -> bool:
    """Compare the two ways through an answer; return whether it was an ordinary one."""
    cuts = [chance.randrange(len(answer) + 1) for _ in range(chance.choice([0, 0, 1, 5]))]
    length = chance.choice([None, len(answer), len(answer), len(answer) + 5])
    how = path, sliced(answer, cuts), content_type, length, chance.choice(REQUESTS)
    hold, end = chance.random() < 0.8, chance.choice(["finish", "finish", "nothing", "cut"])
    (short, gave), (full, expected) = (
        metered(*how, short=is_short, hold=hold, end=end) for is_short in (True, False)
    )
    assert gave == expected
    context, said = context_of(short, path, chance), short.ordinary()
    record = None if said is None else ordinary_end_record(context, said, 8_000_000)
    outcome = full.outcome()
    assert short.outcome() == outcome  # also after it was read the short way
    if record is None:
        return False
    known = by_all_rules(context, outcome, is_stream=content_type == SSE)
    assert known is not None
    line = encoded(record)
    assert isinstance(line, EncodedRecord)
    assert fitting_line(known, "0" * 64).line.startswith(line.body)
    assert orjson.loads(line.body + b"}").keys() == {"schema", *known}
    PRICED.append(record["cost_usd"] is not None)
    return True


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_bodies_in_which_something_is_different_have_the_same_record_either_way(
    number: int,
) -> None:
    path, body = BODIES[number]
    chance, ordinary = random.Random(number), 0
    for case in range(CASES):
        answer = orjson.dumps(mutated(body, chance, case % 4))
        if chance.random() < 0.05:
            answer = bytes(b ^ (chance.random() < 0.01) for b in answer)
        ordinary += compared(path, answer, chance, "application/json")
    assert ordinary > CASES / 8
    assert any(PRICED[-ordinary:])


@pytest.mark.parametrize("number", range(len(STREAMS)))
def test_streams_in_which_something_is_different_have_the_same_record_either_way(
    number: int,
) -> None:
    path, parts = STREAMS[number]
    chance, ordinary = random.Random(number), 0
    for case in range(CASES // 2):
        answer = stream_of(mutated(parts, chance, case % 3))
        ordinary += compared(path, answer, chance, SSE)
    assert ordinary > CASES / 16
    assert any(PRICED[-ordinary:])


def test_a_start_within_its_bounds_is_the_same_line_either_way() -> None:
    chance = random.Random(1)
    for model in ["m", "x" * 256, "x" * 257, "é" * 256, HELD, None]:
        meter = CallMeter(
            dialect_for("POST", "/v1/messages"), "/v1/messages", orjson.dumps({"model": model})
        )
        record = start_record(context_of(meter, "/v1/messages", chance))
        assert is_within_bounds(record) == (bounded(record) is record)
        line = encoded(record)
        assert isinstance(line, EncodedRecord)
        assert line.record is record
        assert fitting_line(record, "0" * 64).line.startswith(line.body)


def test_a_key_that_is_part_of_a_usage_object_leaves_no_short_way() -> None:
    path, body = BODIES[0]
    meter, _ = metered(
        path, [orjson.dumps(body)], "application/json", None, REQUESTS[1], short=True
    )
    said, context = meter.ordinary(), context_of(meter, path, random.Random(0))
    assert said is not None
    context.slot_queued_ms, context.user_agent = 0.0, None
    context.key_id, context.upstream = None, None
    assert ordinary_end_record(context, said, 8_000_000) is not None
    context.redactor = Redactor(["prompt_tokens"])
    assert ordinary_end_record(context, said, 8_000_000) is None


def test_an_answer_in_some_pieces_is_read_the_short_way_too() -> None:
    """But for one in very many, each of which would be kept."""
    path, body = BODIES[2]
    answer = orjson.dumps(body)
    bytewise = [answer[at : at + 1] for at in range(len(answer))]
    how = path, bytewise, "application/json", None, REQUESTS[1]
    (short, gave), (full, expected) = metered(*how, short=True), metered(*how, short=False)
    assert short._short is None
    assert gave == expected
    assert short.outcome() == full.outcome()
    meter, _ = metered(path, sliced(answer, [7]), "application/json", None, REQUESTS[1], short=True)
    assert meter.ordinary() is not None
