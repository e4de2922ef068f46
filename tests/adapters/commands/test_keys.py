"""`cab keys`: offline with the signing key, online with the admin token."""

import http.server
import io
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.cli import main
from cab.proxy import BlockingProxy, start_proxy
from cab.proxy.auth import cell_keys
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.errors import BadKey

CELL = "s/aider/org/m/f/t#run2"
ADMIN = "admin-token-of-the-tests"
SIGNING = f"new:{new_signing_key()},old:{new_signing_key()}"
RING = parse_signing_keys(SIGNING)
LIMITS = (
    "--max-calls",
    "5",
    "--max-tokens",
    "900",
    "--max-cost-usd",
    "2.50",
    "--max-concurrency",
    "2",
    "--on-unknown",
    "exhaust",
)


def proxy_at(folder: Path, **settings: Any) -> AbstractContextManager[BlockingProxy]:
    """Run a proxy on a thread of its own, so that a command can be run beside it."""
    return start_proxy(
        upstream="demo", ledger=folder, signing_key=SIGNING, admin_token=ADMIN, **settings
    )


def mint(capsysbinary: pytest.CaptureFixture[bytes], *more: str) -> dict[str, Any]:
    assert main(["keys", "mint", "--cell", CELL, "--ttl", "2h", "--json", *more]) == 0
    return dict(orjson.loads(capsysbinary.readouterr().out))


def test_mint_offline(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With CAB_SIGNING_KEY a key is made without any proxy; the first signing key signs."""
    monkeypatch.setenv("CAB_SIGNING_KEY", SIGNING)
    minted = mint(capsysbinary, *LIMITS)
    read = cell_keys.verify(RING, minted["key"], int(time.time()))
    assert (read.cell_id, read.key_id) == (CELL, minted["key_id"])
    assert read.expires_s - read.issued_s == 7200
    assert minted["limits"] == {
        "max_calls": 5,
        "max_tokens": 900,
        "max_cost_usd": "2.50",
        "max_concurrency": 2,
        "on_unknown": "exhaust",
    }
    assert read.limits.claims() == minted["limits"]


SHARED = ("--max-calls-per-minute", "100", "--max-cost-usd-per-day", "20", "--share", "1/3")
THIRD = {"max_calls_per_minute": 33, "max_cost_usd_per_day": "6.666666666666", "share": "1/3"}


def test_a_share_is_taken_once(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Here or by a proxy, a key has its part of the limits that are asked for; a part of nothing is an error."""
    monkeypatch.setenv("CAB_SIGNING_KEY", SIGNING)
    monkeypatch.setenv("CAB_ADMIN_TOKEN", ADMIN)
    with proxy_at(tmp_path / "ledger") as proxy:
        for where in ((), ("--proxy", proxy.url)):
            minted = mint(capsysbinary, *SHARED, *where)
            read = cell_keys.verify(RING, minted["key"], int(time.time()))
            assert minted["limits"] == read.limits.claims() == THIRD
    few = ["keys", "mint", "--cell", CELL, "--ttl", "2h", "--max-calls", "2", "--share", "1/3"]
    assert main(few) == 2
    assert b"max_calls: 1/3 of 2 is nothing" in capsysbinary.readouterr().err


def test_mint_for_a_shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The key alone goes to standard output; its id and its end go to standard error."""
    file = tmp_path / "signing.key"
    file.write_text(SIGNING.replace(",", "\n"))
    monkeypatch.delenv("CAB_SIGNING_KEY", raising=False)
    arguments = ["keys", "mint", "--cell", CELL, "--ttl", "60s", "--signing-key-file", str(file)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    read = cell_keys.verify(RING, printed.out.strip(), int(time.time()))
    assert printed.err.startswith(f"key {read.key_id}, valid until 20")
    assert printed.out.strip() not in printed.err


@pytest.mark.parametrize("by", ["control_port", "control_socket"])
@pytest.mark.parametrize("option", ["--proxy", "--control", "CAB_CONTROL"])
def test_online(
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by: str,
    option: str,
) -> None:
    """With an address and the admin token the proxy makes keys and revokes them."""
    monkeypatch.setenv("CAB_ADMIN_TOKEN", ADMIN)
    where = {by: 0 if by == "control_port" else tmp_path / "control.sock"}
    with proxy_at(tmp_path / "ledger", **where) as proxy:
        asked = [option, proxy.control_url]
        if option == "CAB_CONTROL":
            monkeypatch.setenv(option, proxy.control_url)
            asked = ["--proxy", proxy.url]
        minted = mint(capsysbinary, *asked, *LIMITS)
        key = cell_keys.verify(RING, minted["key"], int(time.time()))
        revoke = ["keys", "revoke", *asked]
        assert main([*revoke, minted["key"]]) == 0
        while time.time() % 1 > 0.5:
            pass  # a key that is minted in the next second is no revoked one
        assert main([*revoke, "--cell", "other", "--json"]) == 0
        assert main(["keys", "list", *asked, "--json"]) == 0
        assert main(["keys", "mint", *asked, "--cell", "other", "--ttl", "5m"]) == 2
    out, errors = (text.decode().splitlines() for text in capsysbinary.readouterr())
    assert out[0] == f"revoked key {key.key_id}"
    unknown = {"cell_id": "other", "key_id": None, "known": False, "before": False}
    assert orjson.loads(out[1]) == unknown
    assert "no key of other is listed in the state folder" in errors[0]
    assert "the keys of other that are minted up to this second are revoked" in errors[1]
    listed = [orjson.loads(line) for line in out[2:]]
    assert [(each["scope"], each["state"]) for each in listed] == [
        ("call", "revoked"),
        ("seal", "valid"),
    ]
    assert listed[0]["limits"] == minted["limits"]
    with pytest.raises(BadKey, match="revoked"):
        Revocations(tmp_path / "ledger" / "state").check(key)


def test_a_flag_that_says_here_wins_over_the_shell(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a signing key's file, or a ledger's folder, no proxy is asked, whatever CAB_CONTROL says."""
    monkeypatch.setenv("CAB_CONTROL", "unix:/nowhere/socket")
    monkeypatch.setenv("CAB_ADMIN_TOKEN", ADMIN)
    (tmp_path / "signing.key").write_text(SIGNING.replace(",", "\n"))
    (tmp_path / "state").mkdir()
    minted = mint(capsysbinary, "--signing-key-file", str(tmp_path / "signing.key"))
    assert main(["keys", "revoke", "--jti", minted["key_id"], "--ledger", str(tmp_path)]) == 0
    assert main(["keys", "revoke", "--jti", minted["key_id"]]) == 2
    assert b"proxy unix:/nowhere/socket: cannot be reached" in capsysbinary.readouterr().err


@pytest.mark.parametrize(
    ("cell", "ttl", "said"),
    [("\udcff", "1h", "cell_id: Input should be"), (CELL, "9999d", "ttl_s: Input should be less")],
)
def test_a_key_made_here_has_the_rules_of_the_control_api(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, cell: str, ttl: str, said: str
) -> None:
    """What a proxy would not make a key of, the command does not either."""
    file = tmp_path / "signing.key"
    file.write_text(SIGNING.replace(",", "\n"))
    minting = ["keys", "mint", "--cell", cell, "--ttl", ttl, "--signing-key-file", str(file)]
    assert main(minting) == 2
    assert f"no key was made: {said}" in capsys.readouterr().err


@pytest.mark.parametrize("by", ["key", "stdin", "jti", "cell"])
def test_revoke_offline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
) -> None:
    """A revocation in the state folder holds in a proxy that runs, from the next call on."""
    folder = tmp_path / "cab-state"
    folder.mkdir()
    token = cell_keys.mint(RING, CELL, 60, int(time.time()))
    key = cell_keys.verify(RING, token, 0)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    what = {"key": [token], "stdin": ["-"], "jti": ["--jti", key.key_id], "cell": ["--cell", CELL]}
    beside = Revocations(folder)
    beside.check(key)
    assert main(["keys", "revoke", *what[by], "--ledger", str(tmp_path / "ledger")]) == 0
    with pytest.raises(BadKey, match="revoked"):
        beside.check(key)
    said = capsys.readouterr().out
    assert said == f"revoked {f'all keys of {CELL}' if by == 'cell' else f'key {key.key_id}'}\n"


@pytest.mark.parametrize(("option", "name"), [("--state", "given"), ("--ledger", "cab-state")])
def test_revoke_offline_names_a_missing_state_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, name: str
) -> None:
    """No folder is made that no proxy looks at; what is there is written to."""
    revoke = ["keys", "revoke", "--jti", "a", option, str(tmp_path / "given")]
    assert main(revoke) == 2
    assert f"there is no state folder {tmp_path / name}; give --state" in capsys.readouterr().err
    (tmp_path / name).mkdir()
    assert main(revoke) == 0
    assert b'"key_id":"a"' in (tmp_path / name / "revoked.ndjson").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mint", "--cell", CELL, "--ttl", "1h"], "nothing to sign with; set CAB_SIGNING_KEY"),
        (
            ["mint", "--cell", CELL, "--ttl", "soon"],
            "'soon' is not a duration; give 90m, 24h or 7d",
        ),
        (["mint", "--cell", CELL, "--ttl", "0s"], "'0s' is not a duration"),
        (["mint", "--cell", CELL, "--ttl", "7"], "7 has no unit; give 7s, 7m, 7h or 7d"),
        (["mint", "--cell", CELL, "--ttl", "1h", "--max-calls", "0"], "not a whole number above 0"),
        (["mint", "--cell", CELL, "--ttl", "1h", "--max-cost-usd", "-1"], "not an amount above 0"),
        (["mint", "--cell", CELL, "--ttl", "1h", "--proxy", "http://h"], "set CAB_ADMIN_TOKEN"),
        (["revoke", "sk-canary-0123456789"], "this is not a cell's key"),
        (["revoke", "--jti", "a", "--ledger", "none"], "there is no state folder"),
        (["revoke"], "one of the arguments"),
    ],
)
def test_what_cannot_be_done(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    """Every error is one line that names the fix, and shows no key."""
    monkeypatch.chdir(tmp_path)
    for name in ("CAB_SIGNING_KEY", "CAB_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    try:
        code = main(["keys", *arguments])
    except SystemExit as left:
        code = int(str(left.code))
    [line] = capsys.readouterr().err.splitlines()
    assert code == 2
    assert said in line
    assert "canary" not in line


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("ftp://h", "'ftp://h' is not an http(s) URL, nor unix: and the path of a socket"),
        ("http://127.0.0.1:9", "proxy http://127.0.0.1:9: cannot be reached"),
        ("unix:/nowhere/socket", "proxy unix:/nowhere/socket: cannot be reached"),
    ],
)
def test_nobody_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, proxy: str, said: str
) -> None:
    """An address where no proxy answers is named."""
    monkeypatch.setenv("CAB_ADMIN_TOKEN", ADMIN)
    assert main(["keys", "revoke", "--jti", "a", "--proxy", proxy]) == 2
    assert said in capsys.readouterr().err


def test_the_proxy_refuses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the proxy says against it is passed on."""
    monkeypatch.setenv("CAB_ADMIN_TOKEN", "another-token-canary")
    with proxy_at(tmp_path / "ledger") as proxy:
        assert main(["keys", "revoke", "--jti", "a", "--proxy", proxy.url]) == 2
    said = capsys.readouterr().err
    assert "send the admin token" in said
    assert "canary" not in said


def test_another_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is not a proxy is recognised."""
    monkeypatch.setenv("CAB_ADMIN_TOKEN", ADMIN)
    with (
        http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server,
        ThreadPoolExecutor(1) as thread,
    ):
        served = thread.submit(server.handle_request)
        proxy = f"http://127.0.0.1:{server.server_port}/v1"
        assert main(["keys", "revoke", "--jti", "a", "--proxy", proxy]) == 2
        served.result(60)
    assert "is not a cab-proxy (status 501)" in capsys.readouterr().err
