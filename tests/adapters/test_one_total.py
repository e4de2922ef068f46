"""One call total: whoever adds up the calls of a cell says the same as all the others."""

import asyncio
import io
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.cli import main
from cab.adapters.sweeps.budget import spend_by_cell, spend_members
from cab.proxy.accounting.admission import CellSnapshot
from cab.proxy.accounting.cell_report import CellReport
from cab.proxy.accounting.cell_state import CellState
from cab.proxy.control.schemas import cell_view
from cab.proxy.control.sealing import slice_lines
from cab.proxy.workers.ipc_protocol import pack_totals, packed, unpack_report, unpack_totals
from cab.scoring import iter_records, score_cost, score_tokens
from cab.scoring.ledger.seals import Seal, seal_lines
from cab.scoring.ledger.verify import verify_slice
from tests.proxy.restoring import restored
from tests.scoring.builders import CELL_ID, end_fields, start_fields, summed, unmeasured
from tests.scoring.ledgers import chained, write_ledger
from tests.tools.client import post
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.upstream import Fault, Script, json_answer, scripted_upstream, sse_head

ADMIN = "admin-token-of-the-tests"
CELL = "s/aider/org/m/f/t#run2"
MESSAGE = {"role": "assistant", "content": "hey"}
GOOD = json_answer(
    {
        "id": "1",
        "model": "m",
        "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
)
REFUSES_OPTIONS = json_answer({"error": {"message": "stream_options: unknown"}}, "400 Bad Request")
TOO_MANY = json_answer({"error": {"message": "busy"}}, "429 Too Many Requests")
CUT = (sse_head(), Fault.RESET)
"""A stream that breaks off before its first event."""

FREE = (2, 2, 0, 0, 100, 20, 120, 120, (120, 0, 120))
UNKNOWN = (2, 2, 1, 0, None, None, None, 120, (120, 1, None))
BOUNDED = (2, 2, 1, 0, None, None, None, 120, (120, 1, 1944))
AT_MOST = {"prompt_tokens_at_most": 1324, "completion_tokens_at_most": 500}

Sums = Mapping[str, Any]
SUMS = (
    *("calls", "attempts", "unmeasured_calls", "partial_calls"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "known_total_tokens"),
    "total_interval",
)


async def ask(meter: Meter, method: str, path: str) -> bytes:
    """Return what the control API answers its admin."""
    target = f"/cab/cells/{quote(CELL, safe='')}{path}"
    seen = await post(meter.url, target, b"", f"Authorization: Bearer {ADMIN}", method=method)
    assert seen.status == 200, seen
    return seen.body


def by_cell(ledger: Path, cell_id: str) -> dict[str, Any]:
    """Return what `cab ledger calls --by-cell` says of a cell, named as seals name it."""
    out = io.TextIOWrapper(io.BytesIO())
    with redirect_stdout(out):
        assert main(["ledger", "calls", str(ledger), "--by-cell", "--json", "--cell", cell_id]) == 0
    out.flush()
    [row] = out.buffer.getvalue().splitlines()
    shown = orjson.loads(row)
    return {**shown, **{f"{name}_calls": shown[name] for name in ("unmeasured", "partial")}}


def scored(records: Path, cell_id: str) -> dict[str, Any]:
    """Return what the axes `tokens` and `cost` say of a cell, named as seals name it."""
    sums = summed(iter_records(records, cell_id))
    axis = score_tokens(sums, passed=1).model_dump()
    return {**axis, **score_cost(sums, passed=1).model_dump(), "calls": sums.calls}


def sums_of_all(ledger: Path, slice_: Path, seal: dict[str, Any]) -> dict[str, Sums]:
    """Return the sums of a cell as each reader of its ledger, or of its sealed slice, has them."""
    cell_id = seal["cell_id"]
    spend = spend_by_cell(ledger)[cell_id]
    return {
        "seal": seal,
        "scorer": scored(ledger, cell_id),
        "scorer of the slice": scored(slice_, cell_id),
        "by cell": by_cell(ledger, cell_id),
        "budget": {
            "calls": spend.calls,
            "attempts": spend.attempts,
            "unmeasured_calls": spend.unmeasured_calls,
            "partial_calls": spend.partial_calls,
            "prompt_tokens": spend.tokens.prompt.value,
            "completion_tokens": spend.tokens.completion.value,
            "total_tokens": spend.tokens.total.value,
            "known_total_tokens": spend.tokens.total.known,
            "total_interval": spend_members(spend)["total_interval"],
        },
    }


def said_by(sums: Sums) -> tuple[Any, ...]:
    """Return the sums of a reader in the order of SUMS; of the interval both ends and what is between."""
    return tuple(
        tuple(sums[name].values()) if name == "total_interval" else sums[name] for name in SUMS
    )


def assert_all_say(by_reader: Mapping[str, Sums], expected: tuple[Any, ...]) -> None:
    """Every reader has the expected sums, in the order of SUMS."""
    said = {who: said_by(sums) for who, sums in by_reader.items()}
    assert said == dict.fromkeys(by_reader, expected)


CAPPED = {"max_tokens": 400, "n": 2}
SIZE_BYTES = len(orjson.dumps(chat_body(**CAPPED)))
AT_MOST_NOW = (2, 2, 1, 0, None, None, None, 18, (18, 1, 18 + SIZE_BYTES + 1024 + 800))
NOT_CAPPED = (2, 2, 1, 0, None, None, None, 18, (18, 1, None))


def failed(status: str) -> bytes:
    """Return an error answer of an endpoint."""
    return json_answer({"error": {"message": "it broke"}}, status)


@pytest.mark.parametrize(
    ("second", "body", "expected"),
    [
        pytest.param([[asyncio.Event()]], CAPPED, AT_MOST_NOW, id="silent"),
        pytest.param([[asyncio.Event()]], {}, NOT_CAPPED, id="silent, without a cap"),
        pytest.param(
            [CUT],
            {"stream": True},
            (2, 2, 0, 1, 19, 7, 26, 26, (26, 1, None)),
            id="cut, so counted here",
        ),
        pytest.param([[Fault.RESET]], CAPPED, AT_MOST_NOW, id="reset after sending"),
        pytest.param([[Fault.CLOSE]], CAPPED, AT_MOST_NOW, id="closed after sending"),
        pytest.param([[failed("500 Oops")]], CAPPED, AT_MOST_NOW, id="500 after generating"),
        pytest.param([[failed("502 Bad Gateway")]], CAPPED, AT_MOST_NOW, id="502 of a gateway"),
        pytest.param([[failed("504 Timeout")]], CAPPED, AT_MOST_NOW, id="504 of a gateway"),
        pytest.param([[failed("408 Timeout")]], CAPPED, AT_MOST_NOW, id="408"),
        pytest.param([[failed("499 Client Closed")]], CAPPED, AT_MOST_NOW, id="499"),
        pytest.param([[failed("500 Oops")]], {}, NOT_CAPPED, id="500, without a cap"),
        pytest.param(
            [[REFUSES_OPTIONS], [GOOD]],
            {"stream": True},
            (2, 3, 0, 0, 22, 14, 36, 36, (36, 0, 36)),
            id="resent",
        ),
        pytest.param(
            [], {"model": "gone"}, (2, 2, 0, 0, 11, 7, 18, 18, (18, 0, 18)), id="connection refused"
        ),
        pytest.param(
            [[Fault.CLOSE], [GOOD]],
            CAPPED,
            (2, 2, 0, 0, 22, 14, 36, 36, (36, 0, 36)),
            id="a stale connection, and once more",
        ),
        pytest.param([[TOO_MANY]], CAPPED, (2, 2, 0, 0, 11, 7, 18, 18, (18, 0, 18)), id="refused"),
    ],
)
async def test_all_say_the_same_of_two_calls(
    second: list[Script], body: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    """After one good call of 18 tokens: control API, signed seal, verify, scorer, table and budget agree."""
    key = ed25519.Ed25519PrivateKey.generate()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "seal.pem").write_bytes(
        key.private_bytes(encoding, form, serialization.NoEncryption())
    )
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "seal.pub").write_bytes(key.public_key().public_bytes(encoding, public))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    async with (
        scripted_upstream([GOOD], *second) as upstream,
        metered(
            upstream.url,
            tmp_path,
            admin_token=ADMIN,
            cell=CELL,
            headers_timeout_s=0.5,
            seal_key_file=tmp_path / "seal.pem",
            routes=[{"models": ["gone"], "upstream": "http://127.0.0.1:9"}],
        ) as meter,
    ):
        for sent in ({}, body):
            await post(meter.url, "/v1/chat/completions", chat_body(**sent))
        live = orjson.loads(await ask(meter, "GET", ""))
        answer = await ask(meter, "POST", "/seal")
        (bundle / "seal.json").write_bytes(answer)
        (bundle / "calls.jsonl").write_bytes(await ask(meter, "GET", "/calls"))
    ledger, seal = tmp_path / "ledger", orjson.loads(answer)
    sums = {"control API": live, **sums_of_all(ledger, bundle / "calls.jsonl", seal)}
    assert_all_say(sums, expected)
    for path in (bundle, ledger):
        arguments = [
            "--seal",
            str(bundle / "seal.json"),
            "--public-key",
            str(tmp_path / "seal.pub"),
        ]
        assert main(["ledger", "verify", str(path), *arguments]) == 0


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"end_reason": "client_gone", "status": None, "upstream_attempts": 0}, FREE),
        ({"end_reason": "client_gone", "status": None, "upstream_attempts": 1}, UNKNOWN),
        ({"end_reason": "upstream_cut", "status": 502, "upstream_attempts": 1}, UNKNOWN),
        ({"end_reason": "upstream_error", "status": 502, "upstream_attempts": 1}, UNKNOWN),
        ({"end_reason": "upstream_error", "status": 500, **AT_MOST}, BOUNDED),
        ({"end_reason": "upstream_error", "status": 429, **AT_MOST}, FREE),
        ({"end_reason": "upstream_unreachable", "status": 502, **AT_MOST}, FREE),
        (None, BOUNDED),
    ],
)
async def test_all_say_the_same_after_a_restart(
    second: dict[str, Any] | None, expected: tuple[Any, ...], tmp_path: Path
) -> None:
    """What never left is free, what may have cost something is unknown; so is a call without END."""
    records: list[dict[str, Any]] = [
        start_fields("a", cell_id=CELL),
        end_fields("a", cell_id=CELL),
        start_fields("b", cell_id=CELL, **AT_MOST),
    ]
    if second is not None:
        records += [unmeasured("b", cell_id=CELL, **second), {"kind": "proxy_stop"}]
    write_ledger(tmp_path / "ledger", records)
    async with metered("http://127.0.0.1:9", tmp_path, admin_token=ADMIN) as meter:
        live = orjson.loads(await ask(meter, "GET", ""))
        seal = orjson.loads(await ask(meter, "POST", "/seal"))
        sealed = await ask(meter, "GET", "/calls")
    (tmp_path / "calls.jsonl").write_bytes(sealed)
    sums = sums_of_all(tmp_path / "ledger", tmp_path / "calls.jsonl", seal)
    assert_all_say({"control API": live, **sums}, expected)
    assert verify_slice(tmp_path / "calls.jsonl", Seal.model_validate(seal)).holds


COUNT = st.none() | st.integers(0, 10**6)
CALLS = st.fixed_dictionaries(
    {
        "ended": st.booleans(),
        "endpoint": st.sampled_from(["chat.completions", "messages", "other"]),
        "status": st.sampled_from([None, 200, 400, 408, 429, 499, 500, 502, 504]),
        "may_cost": st.sampled_from([None, False, True]),
        "end_reason": st.sampled_from(
            [
                *("completed", "client_gone", "upstream_cut", "upstream_error"),
                *("upstream_unreachable", "timeout", "rejected", "crash"),
            ]
        ),
        "upstream_attempts": st.sampled_from([None, 0, 1, 2]),
        "usage_source": st.sampled_from(["upstream", "tokenizer", "none"]),
        "usage_status": st.sampled_from([None, "complete", "partial", "inconsistent", "overflow"]),
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "prompt_tokens_at_most": COUNT,
        "completion_tokens_at_most": COUNT,
        "cache_read_tokens": COUNT,
        "reasoning_tokens": COUNT,
        "latency_ms": st.none() | st.integers(0, 4000).map(lambda n: n / 4),
        "cost_usd": st.none() | st.decimals(0, 100, places=6).map(str),
    }
)


@settings(deadline=None)
@given(st.lists(CALLS, max_size=6))
def test_all_say_the_same_of_any_calls(calls: list[dict[str, Any]]) -> None:
    """Proxy, seal, verify, scorer, table and budget agree on any records, also over the workers' socket."""
    records: list[dict[str, Any]] = [start_fields("first"), end_fields("first")]
    for number, call in enumerate(calls):
        call_id, ended = f"c{number}", call["ended"]
        members = {name: value for name, value in call.items() if name != "ended"}
        bounds = {name: value for name, value in call.items() if name.endswith("_at_most")}
        records.append(start_fields(call_id, endpoint=call["endpoint"], **bounds))
        if ended:
            records.append(end_fields(call_id, **members))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_ledger(folder / "ledger", records)
        cells = restored(folder / "ledger")
        slice_ = folder / "calls.jsonl"
        slice_.write_bytes(b"".join(chained(records)))
        seal = {"cell_id": CELL_ID, **seal_lines(slice_lines(folder / "ledger", CELL_ID))}
        again = CellSnapshot(CELL_ID, False, 0, cells[CELL_ID].totals)
        live = cell_view(again)
        sums = {"proxy": live, **sums_of_all(folder / "ledger", slice_, seal)}
        assert_all_say(sums, said_by(live))
        assert sums["scorer"]["cost_usd"] == live["cost_usd"]
        assert sums["scorer"]["unpriced_calls"] == live["unpriced_calls"]
        assert verify_slice(slice_, Seal.model_validate(seal)).holds
        assert verify_slice(folder / "ledger", Seal.model_validate(seal)).holds
        spend = spend_by_cell(folder / "ledger")[CELL_ID]
        assert (spend.cost, spend.latency_ms) == (again.totals.cost, again.totals.latency_ms)
    assert unpack_totals(orjson.loads(packed(pack_totals(again))[4:])) == again
    assert state_after(records, over_socket=True) == state_after(records, over_socket=False)


def state_after(records: list[dict[str, Any]], *, over_socket: bool) -> CellState:
    """Return the state of a cell whose calls ended in a single process, or in a worker that reports them."""
    state, report = CellState(CELL_ID), CellReport()
    for record in records:
        if record["kind"] == "end" and over_socket:
            report.end(record["call_id"], None, record)
        elif record["kind"] == "end":
            state.add(record)
    if over_socket:
        sent = orjson.loads(packed(report.packed(CELL_ID))[4:])
        unpack_report(sent).merge(state, lambda _: None)
    return state
