"""The control API on real sockets: who may ask what, and what is answered."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.errors import BadConfig
from cab.scoring.ledger.signatures import signature_fault
from cab.scoring.ledger.verify import verify_ledger
from tests.tools.client import Seen, post
from tests.tools.proxy import Meter, chat_body, metered, raw_exchange, records
from tests.tools.upstream import Step, json_answer, scripted_upstream

ADMIN = "admin-token-of-the-tests"
CELL = "s/aider/org/m/f/t#run2"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
MESSAGE = {"role": "assistant", "content": "hey"}
COMPLETION = {"id": "1", "model": "m", "choices": [{"index": 0, "message": MESSAGE}]}


@dataclass
class Api:
    """A client of the control API."""

    meter: Meter
    token: str | None = ADMIN

    async def ask(self, method: str, path: str, body: object = b"", token: str = "") -> Seen:
        """Send a request to `/cab/...` with the admin token, or another."""
        sent = token or self.token
        headers = [f"Authorization: Bearer {sent}"] if sent else []
        return await post(
            self.meter.proxy.control_url, f"/cab/{path}", body, *headers, method=method
        )

    async def get(self, path: str, token: str = "") -> Any:
        seen = await self.ask("GET", path, token=token)
        assert seen.status == 200, seen
        return orjson.loads(seen.body)

    def key(self, cell_id: str = CELL) -> str:
        return self.meter.proxy.mint_key(cell_id, 60)

    async def call(self, key: str) -> Seen:
        sent = f"Authorization: Bearer {key}"
        return await post(self.meter.url, "/v1/chat/completions", chat_body(), sent)


@asynccontextmanager
async def api(
    folder: Path, *script: Step, admin: str | None = ADMIN, **settings: Any
) -> AsyncIterator[Api]:
    script = script or (json_answer({**COMPLETION, "usage": USAGE}),)
    async with (
        scripted_upstream(list(script)) as upstream,
        metered(upstream.url, folder, admin_token=admin, **settings) as meter,
    ):
        yield Api(meter, admin)


def code_of(seen: Seen) -> tuple[int, str]:
    error = orjson.loads(seen.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert seen.header("Content-Type") == "application/json"
    return seen.status, error["code"]


def path_of(cell_id: str = CELL) -> str:
    return f"cells/{quote(cell_id, safe='')}"


async def test_totals_hold_every_call_whose_answer_has_ended(tmp_path: Path) -> None:
    """A cell's totals are read right after its answer, by the admin and with its own key."""
    async with api(tmp_path) as client:
        assert (await client.get(path_of(), client.key()))["calls"] == 0
        for number in range(1, 4):
            assert (await client.call(client.key())).status == 200
            cell = await client.get(path_of())
            assert cell == await client.get(path_of(), client.key())
            assert (cell["calls"], cell["total_tokens"]) == (number, 18 * number)
    assert cell == {
        "cell_id": CELL,
        "sealed": False,
        "calls_in_flight": 0,
        "calls": 3,
        "attempts": 3,
        "unmeasured_calls": 0,
        "partial_calls": 0,
        "prompt_tokens": 33,
        "completion_tokens": 21,
        "total_tokens": 54,
        "known_total_tokens": 54,
        "total_interval": {"known_total": 54, "unknown_calls": 0, "upper_total": 54},
        "cost_usd": None,
        "unpriced_calls": 3,
    }


async def test_cells_are_listed_by_prefix_in_pages(tmp_path: Path) -> None:
    """The admin reads the totals of all cells, sorted, those of a prefix, and page by page."""
    names = ["a/1", "a/2", "a/3", "b/1"]
    async with api(tmp_path) as client:
        for name in reversed(names):
            await client.call(client.key(name))
        everything = await client.get("cells")
        some = await client.get("cells?prefix=a%2F")
        first = await client.get("cells?prefix=a&limit=2")
        second = await client.get(
            f"cells?prefix=a&limit=2&after={quote(first['next_after'], safe='')}"
        )
        none = await client.get("cells?prefix=nothing")
    assert [cell["cell_id"] for cell in everything["cells"]] == names
    assert [cell["cell_id"] for cell in some["cells"]] == names[:3]
    assert [cell["cell_id"] for cell in first["cells"]] == names[:2]
    assert [cell["cell_id"] for cell in second["cells"]] == names[2:3]
    assert (first["next_after"], second["next_after"]) == ("a/2", None)
    assert none == {"cells": [], "next_after": None}


async def test_an_unmeasured_call_makes_sums_unknown(tmp_path: Path) -> None:
    """Where a call was not counted the sums are null, and the number of such calls is stated."""
    script = json_answer(b'{"choices": [{"message"')
    async with api(tmp_path, script, count_max_bytes=1) as client:
        await client.call(client.key())
        cell = await client.get(path_of())
    assert (cell["calls"], cell["unmeasured_calls"], cell["total_tokens"]) == (1, 1, None)


async def test_a_minted_key_works_with_its_limits(tmp_path: Path) -> None:
    """A key made over the control API names its cell and its limits, and can be called with."""
    limits = {"max_calls": 5, "max_tokens": 1000, "max_cost_usd": "2.50", "max_concurrency": 2}
    async with api(tmp_path, auth="keys") as client:
        seen = await client.ask("POST", "keys", {"cell_id": CELL, "ttl_s": 60, **limits})
        minted = orjson.loads(seen.body)
        assert seen.status == 201
        assert (await client.call(minted["key"])).status == 200
        assert (await client.get(path_of()))["calls"] == 1
        verified = client.meter.proxy._server._identifier.verify(minted["key"], 0)
    assert verified.limits == KeyLimits.from_claims(limits)
    assert minted["limits"] == limits
    assert (minted["cell_id"], minted["key_id"]) == (CELL, verified.key_id)
    assert minted["expires_at"].endswith("Z")


@pytest.mark.parametrize("by", ["key", "key_id", "cell_id"])
async def test_a_revoked_key_is_refused_at_once(tmp_path: Path, by: str) -> None:
    """After a revocation, by the key, its id or its cell, the next call gets 401 and costs nothing."""
    async with api(tmp_path, auth="keys") as client:
        minted = orjson.loads(
            (await client.ask("POST", "keys", {"cell_id": CELL, "ttl_s": 60})).body
        )
        other = client.key("other")
        assert (await client.call(minted["key"])).status == 200
        revoked = await client.ask("POST", "keys/revoke", {by: minted[by]})
        assert (revoked.status, code_of(await client.call(minted["key"]))) == (
            200,
            (401, "invalid_api_key"),
        )
        assert code_of(await client.ask("GET", path_of(), token=minted["key"]))[0] == 401
        assert (await client.call(other)).status == 200
    expected = {"cell_id": None, "key_id": minted["key_id"]}
    assert orjson.loads(revoked.body) == (
        {"cell_id": CELL, "key_id": None} if by == "cell_id" else expected
    )


async def test_an_agents_key_does_not_seal_its_cell(tmp_path: Path) -> None:
    """A run is ended by whoever opened it: the key for calls seals nothing, and neither does no key."""
    async with api(tmp_path, cell=CELL, key=None) as client:
        keys = client.meter.proxy.mint_keys(CELL, 60)
        await client.call(keys.call)
        path = f"/cab/{path_of()}/seal"
        for headers in ([f"Authorization: Bearer {keys.call}"], []):
            seen = await post(client.meter.url, path, b"", *headers)
            assert code_of(seen) == (403, "seal_key_required")
        assert (await client.call(keys.call)).status == 200
        refused = await client.call(keys.seal)
        assert refused.status == 401
        assert b"this key seals its cell and makes no calls" in refused.body
        assert (await client.get(path_of(), token=keys.seal))["calls"] == 2
        assert (await client.ask("POST", f"{path_of()}/seal", token=keys.seal)).status == 200


async def test_opening_a_cell_is_recorded(tmp_path: Path) -> None:
    """The admin or the seal key opens it, before its first call only; a restart knows it as well."""
    path = f"{path_of()}/open"
    async with api(tmp_path) as client:
        keys = client.meter.proxy.mint_keys(CELL, 60)
        assert code_of(await client.ask("POST", path, token=keys.call)) == (
            403,
            "seal_key_required",
        )
        other = client.meter.proxy.mint_keys("other", 60).seal
        assert code_of(await client.ask("POST", path, token=other)) == (403, "other_cell")
        for token in (ADMIN, keys.seal):
            seen = await client.ask("POST", path, token=token)
            assert seen.status == 201
        assert (await client.get(path_of()))["calls"] == 0
        assert code_of(await client.ask("POST", f"cells/{'x' * 2049}/open"))[0] == 400
    async with api(tmp_path) as client:
        assert [cell["cell_id"] for cell in (await client.get("cells"))["cells"]] == [CELL]
        assert (await client.call(client.key())).status == 200
        assert code_of(await client.ask("POST", path)) == (409, "cell_used")
        seal = orjson.loads((await client.ask("POST", f"{path_of()}/seal")).body)
    opened = records(tmp_path / "ledger", "cell_open")
    assert [record["cell_id"] for record in opened] == [CELL, CELL]
    assert orjson.loads(seen.body) == {name: opened[1][name] for name in ("cell_id", "opened_at")}
    assert (seal["calls"], seal["records"]) == (1, 2)  # its slice is START and END alone
    assert verify_ledger(tmp_path / "ledger").holds


async def test_a_cell_that_was_opened_can_be_sealed_without_a_call(tmp_path: Path) -> None:
    """The admin seals what was opened, and an opened and sealed cell is not opened again."""
    async with api(tmp_path) as client:
        await client.ask("POST", f"{path_of()}/open")
        seal = orjson.loads((await client.ask("POST", f"{path_of()}/seal")).body)
        assert (seal["calls"], seal["total_tokens"]) == (0, 0)
        assert code_of(await client.ask("POST", f"{path_of()}/open")) == (409, "cell_sealed")


async def test_a_cells_key_reaches_its_own_cell_only(tmp_path: Path) -> None:
    """A cell's key reads its own cell, no other one, and is no admin."""
    async with api(tmp_path) as client:
        await client.call(client.key("other"))
        for method, path in [
            ("GET", path_of("other")),
            ("GET", f"{path_of('other')}/calls"),
            ("POST", f"{path_of('other')}/seal"),
        ]:
            assert code_of(await client.ask(method, path, token=client.key())) == (
                403,
                "other_cell",
            )
        for method, path in [("GET", "cells"), ("POST", "keys"), ("POST", "keys/revoke")]:
            seen = await client.ask(method, path, {}, token=client.key())
            assert code_of(seen) == (401, "admin_token_required")
        assert not (await client.get(path_of("other")))["sealed"]


@pytest.mark.parametrize("token", [ADMIN + "x", ADMIN[:-1], "ADMIN", "ä", "eyJ"])
async def test_another_token_is_no_admin(tmp_path: Path, token: str) -> None:
    """What is nearly the admin token opens nothing, also not the cells."""
    async with api(tmp_path) as client:
        assert code_of(await client.ask("GET", "cells", token=token)) == (
            401,
            "admin_token_required",
        )
        assert code_of(await client.ask("GET", path_of(), token=token)) == (
            401,
            "cell_key_required",
        )
    async with api(tmp_path, auth="keys") as client:
        assert code_of(await client.ask("GET", path_of(), token=token)) == (401, "invalid_api_key")
        basic = await post(
            client.meter.url, "/cab/cells", b"", f"Authorization: Basic {ADMIN}", method="GET"
        )
        assert basic.status == 401


async def test_without_an_admin_token_nobody_is_admin(tmp_path: Path) -> None:
    """A proxy without CAB_ADMIN_TOKEN refuses what only an admin may, and says why."""
    async with api(tmp_path, admin=None) as client:
        for method, path in [("GET", "cells"), ("POST", "keys"), ("POST", "keys/revoke")]:
            seen = await client.ask(method, path, {}, token="any")
            assert code_of(seen) == (403, "no_admin_token")
            assert b"CAB_ADMIN_TOKEN" in seen.body


async def test_a_short_admin_token_is_refused(tmp_path: Path) -> None:
    """A proxy does not start with a token that can be guessed, and does not print it."""
    with pytest.raises(BadConfig, match="CAB_ADMIN_TOKEN has fewer than 16 bytes") as caught:
        async with api(tmp_path, admin="canary-short"):
            pytest.fail("it must not start")
    assert "canary" not in str(caught.value)


async def test_a_cell_that_never_called_is_not_found(tmp_path: Path) -> None:
    """The admin cannot read or seal a cell that is not there: a mistyped id is no empty cell."""
    async with api(tmp_path) as client:
        for method, path in [("GET", ""), ("GET", "/calls"), ("POST", "/seal")]:
            seen = await client.ask(method, path_of("nobody") + path)
            assert code_of(seen) == (404, "no_such_cell")
        await client.call(client.key(f"{CELL}0"))
        assert code_of(await client.ask("GET", path_of())) == (404, "no_such_cell")


async def test_a_cells_lines_are_those_of_the_ledger(tmp_path: Path) -> None:
    """The lines come verbatim and in order, and are what the seal's digest is over."""
    async with api(tmp_path) as client:
        for _ in range(300):
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
    assert (seal["calls"], seal["records"]) == (300, 600)


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
        assert (await client.get("health/live")) == {"live": True}
        assert (await client.get("health/ready"))["ready"] is True
        tasks.create_task(client.call(client.key()))
        await arrived.wait()
        assert (await client.get("health"))["calls_in_flight"] == 1
        stop = tasks.create_task(client.meter.proxy._server.stop(20))
        await asyncio.sleep(0)
        health, ready = await client.ask("GET", "health"), await client.ask("GET", "health/ready")
        live = await client.ask("GET", "health/live")
        go.set()
        await stop
    assert (live.status, ready.status, health.status) == (200, 503, 503)
    assert orjson.loads(ready.body)["stopping"] is True


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
        assert b'{"live":true}' in await raw_exchange(url, head)
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
