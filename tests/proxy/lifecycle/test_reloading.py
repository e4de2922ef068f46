"""A running proxy takes over other settings: certificates, signing keys, endpoints; or none of them."""

import asyncio
import shutil
from pathlib import Path

import pytest
import trustme

from cab.proxy.auth import cell_keys
from cab.proxy.auth.signing_keys import parse_signing_keys
from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.lifecycle.reload_rules import RELOADABLE, reload_of
from tests.tools.client import Seen, post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import Meter, metered
from tests.tools.tls import certificate, client_context
from tests.tools.upstream import json_answer, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
ANSWER = [json_answer(CHAT.answer)]
CELL = "s/a/m/f/t"
OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32


def wanted(meter: Meter, **changes: object) -> ProxySettings:
    """Return the settings of a proxy with changes."""
    settings = meter.proxy._parts.services.settings
    return ProxySettings.model_validate({**settings.model_dump(), **changes})


async def call(meter: Meter, key: str) -> Seen:
    return await post(meter.url, CHAT.path, CHAT.request, f"Authorization: Bearer {key}")


async def shown_certificate(url: str) -> bytes:
    """Return the certificate that a listener shows to a new connection."""
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context())
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(shown)


def test_each_setting_that_is_reloaded_is_one() -> None:
    """What needs a restart keeps its value; what is reloaded has the new one."""
    assert ProxySettings.model_fields.keys() >= RELOADABLE
    now = ProxySettings(upstream="http://a")
    new = ProxySettings(upstream="http://b", port=1, grace_s=7, tls_cert_file=Path("x"))
    reload = reload_of(now, new)
    assert reload.changed == ("upstream", "grace_s")
    assert reload.needs_restart == ("port", "tls_cert_file")
    assert reload.settings == ProxySettings(upstream="http://b", grace_s=7)


@pytest.mark.parametrize("demo", [("demo", "http://a"), ("http://a", "demo")])
def test_the_built_in_model_server_needs_a_restart(demo: tuple[str, str]) -> None:
    """It begins and ends with the proxy."""
    now, new = (ProxySettings(upstream=upstream) for upstream in demo)
    assert reload_of(now, new).needs_restart == ("upstream",)


async def test_a_certificate_is_replaced(tmp_path: Path) -> None:
    """New connections see it, those that are open go on; one that cannot be used changes nothing."""
    file = tmp_path / "proxy.pem"
    shutil.copy(certificate(), file)
    async with (
        scripted_upstream(ANSWER) as upstream,
        metered(upstream.url, tmp_path, tls_cert_file=file, signing_key=OLD) as meter,
    ):
        before = await shown_certificate(meter.url)
        authority = trustme.CA()
        client_context().load_verify_locations(cadata=authority.cert_pem.bytes().decode())
        own = authority.issue_cert("127.0.0.1")
        own.private_key_and_cert_chain_pem.write_to_path(str(file))
        await meter.proxy.reload(wanted(meter), {"signing_key": OLD})
        after = await shown_certificate(meter.url)
        assert (await meter.chat()).status == 200
        assert after != before
        key = meter.proxy.mint_key(CELL, 60)
        await call(meter, key)
        assert (await meter.proxy.totals(CELL))["calls"] == 1
        file.write_text("no certificate")
        with pytest.raises(BadConfig, match="cannot be used"):
            await meter.proxy.reload(wanted(meter, grace_s=77), {"signing_key": OLD})
        assert await shown_certificate(meter.url) == after
        assert wanted(meter).grace_s == 5


async def test_signing_keys_are_replaced(tmp_path: Path) -> None:
    """A key that a removed signing key has signed is refused at once, on an open connection too."""
    async with (
        scripted_upstream(ANSWER) as upstream,
        metered(upstream.url, tmp_path, signing_key=OLD, auth="keys") as meter,
    ):
        old = meter.proxy.mint_key(CELL, 60)
        url, send = f"{meter.url}{CHAT.path}", meter.client.post
        for signing, status in ((OLD, 200), (f"{NEW},{OLD}", 200), (NEW, 401), (OLD, 200)):
            await meter.proxy.reload(wanted(meter), {"signing_key": signing})
            headers = {"Authorization": f"Bearer {old}"}
            async with send(url, json=CHAT.request, headers=headers) as answer:
                assert answer.status == status
            assert (await call(meter, old)).status == status
            fresh = meter.proxy.mint_key(CELL, 60)
            assert cell_keys.verify(parse_signing_keys(signing), fresh, 0).cell_id == CELL
            assert (await call(meter, fresh)).status == 200


async def test_endpoints_are_replaced_below_calls_in_flight(tmp_path: Path) -> None:
    """A call goes on at the endpoint that it began with; the next one goes to the new one, with its key."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        arrived.set()
        await go.wait()

    async with (
        scripted_upstream([hold, *ANSWER]) as one,
        scripted_upstream(ANSWER) as other,
        metered(one.url, tmp_path, key="first-canary-key", signing_key=OLD) as meter,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(call(meter, "own"))
        await arrived.wait()
        secrets = {"upstream_key": "second-canary-key", "signing_key": OLD}
        done = await meter.proxy.reload(wanted(meter, upstream=other.url), secrets)  # type: ignore[arg-type]
        assert done.changed == ("upstream",)
        assert (await call(meter, "own")).status == 200
        go.set()
        assert (await running).status == 200
        await meter.settled(2)
    assert one.received[0].header("Authorization") == "Bearer first-canary-key"
    assert other.received[0].header("Authorization") == "Bearer second-canary-key"
    assert len(one.received) == len(other.received) == 1
