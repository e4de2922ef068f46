import asyncio
import json
import threading
import urllib.request
from collections.abc import Generator
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from cab.proxy.app import running_proxy
from cab.proxy.config import parse_settings
from cab.proxy.logs import configure_logs
from cab.scoring.ledger.seals import load_seal
from cab.scoring.ledger.verify import verify_slice

CELL = "local/scripted/demo/f/t"
ADMIN = "the-admin-token-of-the-test"


class Running:
    """A proxy that runs beside the command."""

    url: str
    key: str
    ledger: Path


@pytest.fixture
def proxy(tmp_path: Path) -> Generator[Running]:
    """A proxy before the demo, on a loop of its own, with one call of the cell."""
    ready, done = threading.Event(), threading.Event()
    running = Running()
    running.ledger = tmp_path / "ledger"

    configure_logs("error", "auto")

    async def serve() -> None:
        values = {"upstream": "demo", "port": 0, "ledger": running.ledger, "auth": "keys"}
        settings = parse_settings(values, "test")
        async with running_proxy(settings, signing_key="s" * 32, admin_token=ADMIN) as served:
            running.url, running.key = served.url, served.mint_key(CELL, 600)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]}).encode()
    request = urllib.request.Request(
        f"{running.url}/v1/chat/completions",
        body,
        {"Authorization": f"Bearer {running.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    yield running
    done.set()
    thread.join()


@pytest.mark.parametrize("variable", ["CAB_CELL_KEY", "CAB_ADMIN_TOKEN"])
def test_a_cell_is_sealed(
    tmp_path: Path,
    proxy: Running,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The seal is printed, the ledger holds against it, and a second one is refused."""
    monkeypatch.setenv(variable, proxy.key if variable == "CAB_CELL_KEY" else ADMIN)
    assert main(["ledger", "seal", CELL, "--proxy", f"{proxy.url}/v1", "--json"]) == 0
    seal = orjson.loads(capfdbinary.readouterr().out)
    assert (seal["cell_id"], seal["calls"], seal["records"]) == (CELL, 1, 2)
    (tmp_path / "seal.json").write_bytes(orjson.dumps(seal))
    assert verify_slice(proxy.ledger, load_seal(tmp_path / "seal.json")).holds
    assert main(["ledger", "seal", CELL, "--proxy", proxy.url]) == 2
    captured = capfdbinary.readouterr()
    assert b"is sealed already" in captured.err
    assert captured.out == b""


def test_people_see_the_seal_line_by_line(
    proxy: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --json each member of the seal is one line."""
    monkeypatch.setenv("CAB_CELL_KEY", proxy.key)
    assert main(["ledger", "seal", CELL, "--proxy", proxy.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"cell_id:            {CELL}" in lines
    assert "records:            2" in lines


@pytest.mark.parametrize(
    ("key", "url", "said"),
    [
        (None, "http://127.0.0.1:1", "set CAB_CELL_KEY to the cell's key"),
        ("k", "127.0.0.1:1", "'127.0.0.1:1' is not an http(s) URL"),
        ("k", "http://127.0.0.1:1", "proxy http://127.0.0.1:1: no answer to POST seal"),
    ],
)
def test_wrong_use_is_one_line(
    key: str | None,
    url: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No key, no URL or no proxy there is one line and exit code 2."""
    if key is not None:
        monkeypatch.setenv("CAB_CELL_KEY", key)
    assert main(["ledger", "seal", CELL, "--proxy", url]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_a_key_of_another_cell_is_refused(
    proxy: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key seals its own cell and no other, and it is not shown."""
    monkeypatch.setenv("CAB_CELL_KEY", proxy.key)
    assert main(["ledger", "seal", "local/scripted/demo/f/u", "--proxy", proxy.url]) == 2
    assert proxy.key not in capsys.readouterr().err
