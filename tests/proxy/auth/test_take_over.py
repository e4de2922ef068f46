"""Access state outlives the ledger's folder, and what lay in there is taken over."""

import asyncio
import os
import re
import shutil
import stat
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import aiohttp
import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth import cell_keys
from cab.proxy.auth.cell_keys import CellKey
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import load_signing_keys, new_signing_key, parse_signing_keys
from cab.proxy.auth.take_over import take_over_revocations, take_over_signing_keys
from cab.proxy.config import ProxySettings, state_beside
from cab.proxy.errors import BadConfig, BadKey
from cab.proxy.workers.embedded import start_proxy
from tests.tools.commands import start_command
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import Meter, metered
from tests.tools.upstream import json_answer, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
NOW_S = 1_800_000_000
CELL = "s/aider/m/f/t"


async def status(meter: Meter, token: str) -> int:
    """Return how a call with a key is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{meter.url}/v1/chat/completions"
    async with meter.client.post(url, json=CHAT.request, headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize("to", ["same name", "other name"])
async def test_a_new_ledger_keeps_keys_and_revocations(tmp_path: Path, to: str) -> None:
    """Keys stay valid and revoked keys stay revoked, whether the folder or its name is replaced."""
    names = ["ledger", "ledger" if to == "same name" else "july"]
    tokens: list[str] = []
    async with scripted_upstream([json_answer(CHAT.answer)] * 2) as upstream:
        for round_, name in enumerate(names):
            settings: dict[str, Any] = {"auth": "keys", "ledger": tmp_path / name}
            async with metered(upstream.url, tmp_path, **settings) as meter:
                if round_ == 0:
                    tokens = [meter.proxy.mint_keys(f"{CELL}{n}", 600).call for n in "ab"]
                    revoked = Revocations(tmp_path / "cab-state")
                    revoked.revoke_cell(f"{CELL}b", int(time.time()) + 1)
                assert [await status(meter, token) for token in tokens] == [200, 401]
            shutil.move(tmp_path / name, tmp_path / f"old-{round_}")


@asynccontextmanager
async def killed_proxy(folder: Path, workers: int) -> AsyncGenerator[str]:
    """Run `cab-proxy` in front of the demo; it is ended by SIGKILL. Gives its URL."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CAB_")}
    with start_command(
        *("cab-proxy", "--upstream", "demo", "--port", "0", "--auth", "keys"),
        *("--workers", str(workers), "--ledger", folder / "ledger"),
        env=env,
        stdout=PIPE,
        stderr=DEVNULL,
    ) as process:
        assert process.stdout
        found = None
        while found is None:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line
            found = re.search(r"listens on\s+(http://\S+)", line)
        yield found[1]


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_killed_proxy_and_a_new_ledger_keep_them(tmp_path: Path, workers: int) -> None:
    """After a SIGKILL, with the ledger's folder gone, each process knows the same keys and revocations."""
    tokens: list[str] = []
    for round_ in range(2):
        async with killed_proxy(tmp_path, workers) as url, aiohttp.ClientSession() as client:
            if round_ == 0:
                ring = load_signing_keys(tmp_path / "cab-state" / "signing.key")
                tokens = [cell_keys.mint(ring, cell, 600, int(time.time())) for cell in "ab"]
                Revocations(tmp_path / "cab-state").revoke_cell("b", int(time.time()) + 1)
            seen: list[int] = []
            for token in tokens * 4:  # each on a connection of its own: all workers get some
                headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
                chat = f"{url}/v1/chat/completions"
                async with client.post(chat, json=CHAT.request, headers=headers) as answer:
                    seen.append(answer.status)
            assert seen == [200, 401] * 4
        (tmp_path / "ledger").rename(tmp_path / f"old-{round_}")


async def test_the_old_layout_is_taken_over(tmp_path: Path) -> None:
    """Keys that an earlier version signed or revoked are so still, and its ledger folder is clean."""
    ledger, secret = tmp_path / "ledger", new_signing_key()
    ledger.mkdir()
    (ledger / "signing.key").write_text(f"a:{secret}\n")
    Revocations(ledger).revoke_cell("b", int(time.time()) + 1)
    ring = parse_signing_keys(f"a:{secret}")
    tokens = [cell_keys.mint(ring, cell, 600, int(time.time())) for cell in "ab"]
    async with (
        scripted_upstream([json_answer(CHAT.answer)]) as upstream,
        metered(upstream.url, tmp_path, auth="keys") as meter,
    ):
        assert [await status(meter, token) for token in tokens] == [200, 401]
    assert not (ledger / "signing.key").exists()
    assert not (ledger / "revoked.ndjson").exists()
    assert stat.S_IMODE((tmp_path / "cab-state" / "signing.key").stat().st_mode) == 0o600


def test_both_keys_verify_where_the_state_folder_has_one(tmp_path: Path) -> None:
    """The key that was there signs; a bare one of the ledger gets an id of its own; nothing doubles."""
    ledger, state = tmp_path / "ledger", tmp_path / "state"
    ledger.mkdir()
    state.mkdir()
    ours, theirs = new_signing_key(), new_signing_key()
    (state / "signing.key").write_text(ours)
    for text in (theirs, f"b:{theirs}\n{ours}\n"):
        (ledger / "signing.key").write_text(text)
        take_over_signing_keys(ledger, state)
    ring = load_signing_keys(state / "signing.key")
    assert ring.secrets() == (ours, theirs)
    assert ring.signer.id == "default"


def test_no_key_is_lost_where_many_take_over_at_once(tmp_path: Path) -> None:
    """Proxies that start at the same moment and share a state folder add to it one after another."""
    state, keys = tmp_path / "state", [new_signing_key() for _ in range(16)]
    state.mkdir()
    for number, key in enumerate(keys):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "signing.key").write_text(key)
    with ThreadPoolExecutor(len(keys)) as pool:
        both = [
            pool.submit(take_over_signing_keys, tmp_path / str(number), state)
            for number in range(len(keys))
        ]
    for done in both:
        done.result()
    assert sorted(load_signing_keys(state / "signing.key").secrets()) == sorted(keys)


def test_revocations_of_both_folders_hold(tmp_path: Path) -> None:
    """What is taken over twice is there once, and a torn line of either file spoils no other."""
    ledger, state = tmp_path / "ledger", tmp_path / "state"
    ledger.mkdir()
    old = Revocations(ledger)
    for key_id in ("a", "b", "a"):
        old.revoke_key(key_id, NOW_S)
        take_over_revocations(ledger, state)
        with (state / "revoked.ndjson").open("ab") as handle:
            handle.write(b'{"key_id":"torn')
    assert (state / "revoked.ndjson").read_bytes().count(b'"key_id":"a"') == 1
    both = Revocations(state)
    for key_id in ("a", "b"):
        with pytest.raises(BadKey, match="revoked"):
            both.check(CellKey("c", key_id, NOW_S, NOW_S + 60, KeyLimits()))


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error names the folder and the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadConfig, match="file cannot be written: Not a directory; set state to"):
        take_over_revocations(tmp_path, tmp_path / "file")


def test_where_the_state_folder_is(tmp_path: Path) -> None:
    """Named, else in the ledger's folder where it exists, else beside it."""
    ledger = tmp_path / "ledger"
    settings = ProxySettings(upstream="demo", ledger=ledger)
    assert settings.state_folder == state_beside(ledger) == tmp_path / "cab-state"
    (ledger / "state").mkdir(parents=True)
    assert settings.state_folder == ledger / "state"
    named = settings.model_copy(update={"state": tmp_path / "mine"})
    assert named.state_folder == tmp_path / "mine"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_program_s_ledgers_do_not_share_state(tmp_path: Path, workers: int) -> None:
    """An embedded proxy keeps its state with its ledger unless it is told otherwise."""
    with start_proxy(upstream="demo", ledger=tmp_path / "one", workers=workers):
        assert (tmp_path / "one" / "state").is_dir()
    assert [file.name for file in tmp_path.iterdir()] == ["one"]
