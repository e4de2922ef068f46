import json
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from cab.adapters.cli import main
from cab.proxy import start_proxy
from cab.scoring.ledger.seals import load_seal
from cab.scoring.ledger.verify import verify_slice

CELL = "local/scripted/demo/f/t"
ADMIN = "the-admin-token-of-the-test"


class Running(NamedTuple):
    """A proxy that runs beside the command, with one call of the cell."""

    url: str
    control_url: str
    ledger: Path
    key: str


@contextmanager
def metering(folder: Path, **settings: Any) -> Generator[Running]:
    values = {"upstream": "demo", "ledger": folder / "ledger", "auth": "keys", **settings}
    with start_proxy(admin_token=ADMIN, **values) as proxy:
        cell = proxy.open_cell(CELL, 600)
        body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
        headers = {**cell.headers, "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{cell.base_url}/chat/completions", json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        yield Running(proxy.url, proxy.control_url, proxy.ledger_dir, cell.seal_key)


@pytest.fixture
def proxy(tmp_path: Path) -> Generator[Running]:
    with metering(tmp_path) as running:
        yield running


@pytest.mark.parametrize("variable", ["CAB_SEAL_KEY", "CAB_ADMIN_TOKEN"])
def test_a_cell_is_sealed(
    tmp_path: Path,
    proxy: Running,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The seal is printed, the ledger holds against it, and a second one is refused."""
    monkeypatch.setenv(variable, proxy.key if variable == "CAB_SEAL_KEY" else ADMIN)
    assert main(["ledger", "seal", CELL, "--proxy", f"{proxy.url}/v1", "--json"]) == 0
    seal = orjson.loads(capfdbinary.readouterr().out)
    assert (seal["cell_id"], seal["calls"], seal["records"]) == (CELL, 1, 2)
    (tmp_path / "seal.json").write_bytes(orjson.dumps(seal))
    assert verify_slice(proxy.ledger, load_seal(tmp_path / "seal.json")).holds
    assert main(["ledger", "seal", CELL, "--proxy", proxy.url]) == 2
    captured = capfdbinary.readouterr()
    assert b"is sealed already" in captured.err
    assert captured.out == b""


@pytest.mark.parametrize("by", ["control_port", "control_socket"])
@pytest.mark.parametrize("option", ["--control", "CAB_CONTROL"])
def test_a_control_address_of_its_own(
    tmp_path: Path,
    by: str,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """A cell is sealed where the control API is; without that address the error asks for it."""
    where = {by: 0 if by == "control_port" else tmp_path / "control.sock"}
    with metering(tmp_path, **where) as proxy:
        monkeypatch.setenv("CAB_SEAL_KEY", proxy.key)
        assert main(["ledger", "seal", CELL, "--proxy", proxy.url]) == 2
        said = b"its control API has an address of its own; give that address"
        assert said in capfdbinary.readouterr().err
        asked = ["--control", proxy.control_url]
        if option == "CAB_CONTROL":
            monkeypatch.setenv(option, proxy.control_url)
            asked = ["--proxy", proxy.url]
        assert main(["ledger", "seal", CELL, *asked, "--json"]) == 0
    assert orjson.loads(capfdbinary.readouterr().out)["calls"] == 1


def test_no_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does not know which proxy to ask says how to name one."""
    assert main(["ledger", "seal", CELL]) == 2
    assert capsys.readouterr().err == (
        "cab: no proxy; give its URL with --proxy, or set CAB_CONTROL\n"
    )


def test_people_see_the_seal_line_by_line(
    proxy: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --json each member of the seal is one line."""
    monkeypatch.setenv("CAB_SEAL_KEY", proxy.key)
    assert main(["ledger", "seal", CELL, "--proxy", proxy.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"cell_id:            {CELL}" in lines
    assert "records:            2" in lines


@pytest.mark.parametrize(
    ("key", "url", "said"),
    [
        (None, "http://127.0.0.1:1", "set CAB_SEAL_KEY to the cell's seal key"),
        ("k", "127.0.0.1:1", "'127.0.0.1:1' is not an http(s) URL"),
        ("k", "http://127.0.0.1:1", "proxy http://127.0.0.1:1: cannot be reached"),
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
        monkeypatch.setenv("CAB_SEAL_KEY", key)
    assert main(["ledger", "seal", CELL, "--proxy", url]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_a_key_of_another_cell_is_refused(
    proxy: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seal key seals its own cell and no other, and it is not shown."""
    monkeypatch.setenv("CAB_SEAL_KEY", proxy.key)
    assert main(["ledger", "seal", "local/scripted/demo/f/u", "--proxy", proxy.url]) == 2
    assert proxy.key not in capsys.readouterr().err
