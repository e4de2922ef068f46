"""The control API on real sockets: who may ask what, and what is answered."""

from pathlib import Path
from urllib.parse import quote

import orjson
import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.errors import BadConfig
from cab.scoring.ledger.verify import verify_ledger
from tests.proxy.control.serving import ADMIN, CELL, api, code_of, path_of
from tests.tools.client import post
from tests.tools.proxy import records
from tests.tools.upstream import json_answer


async def test_totals_hold_every_call_whose_answer_has_ended(tmp_path: Path) -> None:
    """A cell's totals are read right after its answer, by the admin and with its own key."""
    async with api(tmp_path) as client:
        for token in (client.key(), ADMIN):
            seen = await client.ask("GET", path_of(), token=token)
            assert code_of(seen) == (404, "no_such_cell")
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
        "price_sources": [],
    }


async def test_totals_name_their_prices(tmp_path: Path) -> None:
    """Of each price of a call it is said whose it is: here those of the operator's table."""
    table = {"name": "acme", "version": "1", "models": {"*": {"input": 1, "output": 1}}}
    async with api(tmp_path, prices=table) as client:
        await client.call(client.key())
        cell = await client.get(path_of())
    assert cell["cost_usd"] == "0.000018"
    (source,) = cell["price_sources"]
    assert source.startswith("table:acme@1+")


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
    named = {"cell_id": None, "key_id": minted["key_id"]}
    named = {"cell_id": CELL, "key_id": None} if by == "cell_id" else named
    assert orjson.loads(revoked.body) == {**named, "known": True, "before": False}


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
