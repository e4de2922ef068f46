"""What the control API reads from the ledger, its seals, and what it cannot answer."""

import asyncio
import hashlib
import importlib.metadata
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from cab.proxy.control import ledger_reads
from cab.proxy.errors import BadConfig
from cab.scoring.ledger.signatures import signature_fault
from tests.proxy.control.serving import (
    CELL,
    COMPLETION,
    USAGE,
    api,
    code_of,
    path_of,
)
from tests.tools.client import post
from tests.tools.proxy import chat_body, raw_exchange, records
from tests.tools.upstream import json_answer


async def test_a_cells_lines_are_those_of_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines come verbatim and in order, and are what the seal's digest is over."""
    monkeypatch.setattr(ledger_reads, "_BATCH_LINES", 50)
    async with api(tmp_path) as client:
        for _ in range(60):
            await client.call(client.key())
        await client.call(client.key("other"))
        seal = orjson.loads((await client.ask("POST", f"{path_of()}/seal")).body)
        seen = await client.ask("GET", f"{path_of()}/calls")
    [segment] = (tmp_path / "ledger").glob("*.jsonl")
    lines = [
        line for line in segment.read_bytes().splitlines(keepends=True) if CELL.encode() in line
    ]
    assert seen.header("Content-Type") == "application/x-ndjson"
    assert seen.body == b"".join(lines[:-1])  # the last one is the seal
    assert seal["digest"] == f"sha256:{hashlib.sha256(seen.body).hexdigest()}"
    assert (seal["calls"], seal["records"]) == (60, 120)


@pytest.mark.parametrize("apart", [False, True], ids=["agents' port", "own port"])
async def test_a_slice_that_breaks_off_is_cut(tmp_path: Path, *, apart: bool) -> None:
    """Lines that cannot be read on end without the end of an answer, and without a second head."""
    settings: dict[str, Any] = {"control_port": 0} if apart else {}
    async with api(tmp_path, **settings) as client:
        await client.call(client.key())
        ledger = tmp_path / "ledger"
        [segment] = ledger.glob("*.jsonl")
        (ledger / "w1-000001.jsonl").write_bytes(segment.read_bytes() * 600)
        whole = await client.ask("GET", f"{path_of()}/calls")
        (ledger / "w2-000001.jsonl.zst").write_bytes(b"no zstandard")
        cut = await client.ask("GET", f"{path_of()}/calls")
        (ledger / "w1-000001.jsonl").unlink()
        assert code_of(await client.ask("GET", f"{path_of()}/calls")) == (503, "ledger_failed")
    assert (whole.status, whole.complete) == (200, True)
    assert (cut.status, cut.complete) == (200, False)
    assert 0 < len(cut.body) < len(whole.body)
    assert whole.body.startswith(cut.body)


async def test_slow_reads_of_the_ledger_hold_up_no_call(tmp_path: Path) -> None:
    """Reads have threads of their own: calls, health and seals go on while slices are read."""
    go_on = threading.Event()

    def slow() -> Iterator[bytes]:
        go_on.wait()
        yield b"line"

    large = "x" * (1 << 19)  # is looked at on a thread
    async with api(tmp_path) as client, asyncio.TaskGroup() as tasks:
        assert (await client.call(client.key())).status == 200
        try:
            reads = client.meter.proxy._server._control._reads
            slow_ones = [tasks.create_task(anext(reads.batches(slow()))) for _ in range(50)]
            slice_of = tasks.create_task(
                client.ask("GET", f"{path_of()}/calls", token=client.key())
            )
            sent = f"Authorization: Bearer {client.key()}"
            call = await post(client.meter.url, "/v1/chat/completions", chat_body(x=large), sent)
            assert call.status == 200
            assert (await client.get("health"))["live"]
            assert (await client.ask("POST", f"{path_of()}/seal")).status == 200
            assert not slice_of.done()
        finally:
            go_on.set()
    assert [task.result() for task in slow_ones] == [b"line"] * 50
    assert slice_of.result().complete


async def test_a_seal_that_fails_leaves_the_cell_open(tmp_path: Path) -> None:
    """A cell whose seal could not be made can be called with and sealed again."""

    def broken(seal: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(seal)

    async with api(tmp_path) as client:
        await client.call(client.key())
        sealer = client.meter.proxy._server._control._sealer
        sealer._sign, sign = broken, sealer._sign
        assert code_of(await client.ask("POST", f"{path_of()}/seal")) == (500, "internal_error")
        assert (await client.call(client.key())).status == 200
        sealer._sign = sign
        assert (await client.ask("POST", f"{path_of()}/seal")).status == 200


async def test_a_seal_is_signed(tmp_path: Path) -> None:
    """With a key of the operator the answer and the record of a seal carry the same signature."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "seal.pem"
    file.write_bytes(pem)
    async with api(tmp_path, seal_key_file=file) as client:
        await client.call(client.key())
        seen = await client.ask("POST", f"{path_of()}/seal")
        seal = orjson.loads(seen.body)
        again = await client.ask("POST", f"{path_of()}/seal")
        assert (await client.get(path_of()))["sealed"] is True
    [record] = records(tmp_path / "ledger", "cell_seal")
    assert signature_fault(seal, key.public_key()) is None
    assert signature_fault(record, key.public_key()) is None
    assert record["signature"] == seal["signature"]
    assert code_of(again) == (409, "cell_sealed")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), (b"canary", "is not a private key in PEM form")],
)
async def test_a_seal_key_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    """A proxy that was told to sign and cannot does not start."""
    file = tmp_path / "seal.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadConfig, match=f"seal_key_file .*seal.pem {said}"):
        async with api(tmp_path, seal_key_file=file):
            pytest.fail("it must not start")


async def test_liveness_and_readiness_are_apart(tmp_path: Path) -> None:
    """A proxy that stops is alive and not ready; health says both, and needs no key."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def arrive() -> None:
        arrived.set()

    async with (
        api(tmp_path, arrive, go, json_answer({**COMPLETION, "usage": USAGE})) as client,
        asyncio.TaskGroup() as tasks,
    ):
        client.token = None
        version = importlib.metadata.version("coding-agent-bench")
        assert (await client.get("health/live")) == {"live": True, "version": version}
        ready = await client.get("health/ready")
        assert (ready["ready"], ready["endpoints"]) == (True, {"reachable": 1, "unreachable": 0})
        tasks.create_task(client.call(client.key()))
        await arrived.wait()
        assert (await client.get("health"))["calls_in_flight"] == 1
        stop = tasks.create_task(client.meter.proxy._server.stop(20))
        await asyncio.sleep(0)
        health, late = await client.ask("GET", "health"), await client.ask("GET", "health/ready")
        live = await client.ask("GET", "health/live")
        go.set()
        await stop
    assert (live.status, late.status, health.status) == (200, 503, 503)
    assert orjson.loads(late.body)["stopping"] is True


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("POST", "keys", b"{", (400, "bad_request")),
        ("POST", "keys", b"[]", (400, "bad_request")),
        ("POST", "keys", {"cell_id": CELL}, (400, "bad_request")),
        ("POST", "keys", {"cell_id": CELL, "ttl_s": "60"}, (400, "bad_request")),
        (
            "POST",
            "keys",
            {"cell_id": CELL, "ttl_s": 60, "max_cost_usd": "0.0"},
            (400, "bad_request"),
        ),
        ("POST", "keys", {"cell_id": CELL, "ttl_s": 60, "canary": 1}, (400, "bad_request")),
        ("POST", "keys", b" " * 70_000, (413, "request_too_large")),
        ("POST", "keys/revoke", {}, (400, "bad_request")),
        ("POST", "keys/revoke", {"key_id": None}, (400, "bad_request")),
        ("POST", "keys/revoke", {"key_id": "a", "cell_id": "b"}, (400, "bad_request")),
        ("POST", "keys/revoke", {"key": "sk-canary-0123456789"}, (400, "bad_request")),
        ("GET", "cells?limit=0", b"", (400, "bad_request")),
        ("GET", "cells?limit=x", b"", (400, "bad_request")),
        ("GET", "cells?prefix=a&prefix=b", b"", (400, "bad_request")),
        ("GET", "cells?prefx=a", b"", (400, "bad_request")),
        ("GET", "nothing", b"", (404, "not_found")),
        ("GET", "cells/a/nothing", b"", (404, "not_found")),
        ("GET", "cells/", b"", (404, "not_found")),
        ("GET", "cells/a/b/calls", b"", (404, "not_found")),
        ("DELETE", "cells", b"", (405, "method_not_allowed")),
        ("GET", "cells/a/seal", b"", (405, "method_not_allowed")),
        ("POST", "health", b"", (405, "method_not_allowed")),
    ],
)
async def test_what_cannot_be_answered(
    tmp_path: Path, method: str, path: str, body: object, answer: tuple[int, str]
) -> None:
    """Every error has one shape, names the mend, and repeats no value that was sent."""
    async with api(tmp_path) as client:
        seen = await client.ask(method, path, body)
    assert code_of(seen) == answer
    assert b"sk-canary" not in seen.body
    assert (seen.header("Allow") is not None) == (seen.status == 405)


async def test_a_revocation_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """What is not on disk is not confirmed."""
    async with api(tmp_path) as client:
        (tmp_path / "cab-state" / "revoked.ndjson").mkdir()
        seen = await client.ask("POST", "keys/revoke", {"key_id": "a"})
    assert code_of(seen) == (503, "not_written")


async def test_a_whole_url_is_taken_and_bad_framing_is_not(tmp_path: Path) -> None:
    """The control API reads requests by the same rules as the calls."""
    async with api(tmp_path, control_port=0) as client:
        url = client.meter.proxy.control_url
        head = b"GET http://any/cab/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        assert b'{"live":true,' in await raw_exchange(url, head)
        head = b"GET /cab/health#x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        assert b" 400 " in (await raw_exchange(url, head)).partition(b"\r\n")[0]


async def test_a_fault_of_ours_has_the_same_shape(tmp_path: Path) -> None:
    """An exception that nobody foresaw is a 500 without details; they are in the log."""
    async with api(tmp_path) as client:
        client.meter.proxy._server._control._registry = None  # type: ignore[assignment]
        seen = await client.ask("GET", path_of())
    assert code_of(seen) == (500, "internal_error")
    assert b"NoneType" not in seen.body


async def test_a_ledger_that_cannot_be_written_leaves_the_cell_open(tmp_path: Path) -> None:
    """A seal that is not on disk is not confirmed."""
    async with api(tmp_path) as client:
        await client.call(client.key())
        writer = client.meter.proxy._server._services.ledger._writer
        writer.file, closed = os.open("/dev/full", os.O_WRONLY), writer.file
        seen = await client.ask("POST", f"{path_of()}/seal")
        os.close(closed)
    assert code_of(seen) == (503, "ledger_failed")


@pytest.mark.parametrize(
    "wrong", [{"cell_id": 5}, {"cell_id": [1]}, {"request_hash": [1]}], ids=repr
)
async def test_a_damaged_line_costs_no_other_cell_its_answers(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """A line of the ledger that cannot be looked up leaves every cell its totals, calls and seal."""
    async with api(tmp_path) as first:
        await first.call(first.key())
    segment = next((tmp_path / "ledger").glob("*.jsonl"))
    end = {**records(tmp_path / "ledger")[0], "call_id": "x", **wrong}
    with segment.open("ab") as handle:
        handle.write(orjson.dumps(end) + b"\n")

    async with api(tmp_path) as control:
        assert (await control.get(path_of()))["calls"] == 1
        assert [each["cell_id"] for each in (await control.get("cells"))["cells"]] == [CELL]
        assert (await control.ask("GET", f"{path_of()}/calls")).body.count(b"\n") == 2
        sealed = await control.ask("POST", f"{path_of()}/seal")
        assert (sealed.status, orjson.loads(sealed.body)["calls"]) == (200, 1)
