"""Heads: seals and checkpoints name where all chains of the ledger stood."""

import shutil
from pathlib import Path

import orjson
import pytest
import zstandard
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cab.proxy.app import running_proxy
from cab.proxy.config import ProxySettings
from cab.proxy.ledger.heads import read_heads
from cab.scoring.ledger.signatures import sign_seal
from cab.scoring.ledger.verification.findings import Verification
from cab.scoring.ledger.verify import verify_ledger, verify_seal
from tests.scoring.ledgers import calls, chained, hash_of, write_ledger

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CELL = "s/a/m/f/t"


def told(found: Verification) -> list[str]:
    return [str(fault) for fault in found.faults]


def test_the_last_whole_line_of_each_chain_is_its_head(tmp_path: Path) -> None:
    """Compressed, empty, torn and damaged ends are looked behind."""
    lines = chained(calls(2))
    sizes = [sum(map(len, lines[:n])) for n in range(5)]
    write_ledger(tmp_path, calls(2), worker=0)
    write_ledger(tmp_path, calls(2), worker=2)[0].write_bytes(b"".join(lines) + b'{"torn')
    write_ledger(tmp_path, calls(2), worker=10, per_segment=2)
    (tmp_path / "w10-000003.jsonl").touch()
    write_ledger(tmp_path, calls(2), worker=11)[0].write_bytes(b"".join(lines[:3]) + b"damaged\n")
    (tmp_path / "w12-000001.jsonl.zst").write_bytes(zstandard.compress(b"".join(lines)))
    (tmp_path / "w13-000001.jsonl").touch()
    last = hash_of(lines[3])
    assert [tuple(head.values()) for head in read_heads(tmp_path)] == [
        ("w0", 1, sizes[4], last),
        ("w2", 1, sizes[4], last),
        ("w10", 2, sizes[4] - sizes[2], last),
        ("w11", 1, sizes[3], hash_of(lines[2])),
        ("w12", 1, sizes[4], last),
    ]


def test_a_long_last_line_is_read_whole(tmp_path: Path) -> None:
    """A line longer than what is read at once is put together."""
    [file] = write_ledger(tmp_path, [{"kind": "a"}, {"kind": "b", "text": "x" * 200_000}])
    [head] = read_heads(tmp_path)
    assert head["hash"] == hash_of(file.read_bytes().splitlines()[-1])
    assert head["size_bytes"] == file.stat().st_size


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """A ledger of two proxies, signed, with a call that was sealed by the second one."""
    (tmp_path / "seal.pem").write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    folder = tmp_path / "ledger"
    settings = ProxySettings(
        upstream="demo", port=0, ledger=folder, auth="keys", seal_key_file=tmp_path / "seal.pem"
    )
    write_ledger(folder, [{"kind": "proxy_start"}, *calls(1, CELL, first=7)], worker=1)
    async with running_proxy(settings, signing_key="x" * 32) as proxy:
        sealed = await proxy.seal(CELL)
    (tmp_path / "seal.json").write_bytes(orjson.dumps(sealed.seal))
    return folder


async def test_a_signed_ledger_holds(ledger: Path) -> None:
    """With the key all is checked: each chain is named, and no call is behind the last head."""
    found = verify_ledger(ledger, public_key=KEY.public_key())
    assert (told(found), found.not_checked, found.exit_code) == ([], (), 0)
    assert "3 signed seals and checkpoints, and their heads" in found.checked
    found = verify_ledger(ledger)
    assert (found.exit_code, found.not_checked) == (
        3,
        ("3 signatures of seals and checkpoints: give --public-key",),
    )
    seal = verify_seal(ledger, ledger.parent / "seal.json", KEY.public_key())
    assert told(seal) == []
    assert "the heads that seal.json names" in seal.checked


async def test_a_forged_chain_is_found(ledger: Path) -> None:
    """A chain that holds in itself, with calls of its own, is named by no signed checkpoint."""
    write_ledger(ledger, calls(2, CELL, first=20), worker=7)
    assert verify_ledger(ledger).holds
    assert told(verify_ledger(ledger, public_key=KEY.public_key())) == [
        "w7-000001.jsonl: no signed checkpoint names chain w7: it was put in, or began after the last"
    ]


async def test_a_removed_chain_and_a_cut_end_are_found(ledger: Path) -> None:
    """What a signed head names must be there, whichever chain it is of."""
    file = ledger / "w1-000001.jsonl"
    whole = file.read_bytes()
    head = hash_of(whole.splitlines()[-1])
    expected = f"cut off or written anew: no line that holds has the signed (w1) head {head}"
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert verify_ledger(ledger).holds
    assert told(verify_ledger(ledger, public_key=KEY.public_key())) == [f"ledger: {expected}"]
    file.unlink()
    assert told(verify_ledger(ledger, public_key=KEY.public_key())) == [f"ledger: {expected}"]
    assert f"ledger: {expected}" in told(sealed_by(ledger))


def sealed_by(ledger: Path) -> Verification:
    return verify_seal(ledger, ledger.parent / "seal.json", KEY.public_key())


async def test_calls_behind_the_last_head_are_not_checked(ledger: Path) -> None:
    """What was written after the last signed head holds, and no signature covers it."""
    file = ledger / "w1-000001.jsonl"
    head = hash_of(file.read_bytes().splitlines()[-1])
    with file.open("ab") as handle:
        handle.write(b"".join(chained(calls(1, "s/b/m/f/t", first=30), head)))
    found = verify_ledger(ledger, public_key=KEY.public_key())
    assert (told(found), found.exit_code) == ([], 3)
    assert found.not_checked == (
        "2 lines of calls behind the last signed head of w1: no signature covers them",
    )


async def test_seals_of_an_older_proxy_hold_by_their_own_rule(tmp_path: Path) -> None:
    """Signed seals that name no heads are checked, and what they cannot show is told."""
    write_ledger(
        tmp_path,
        [*calls(1), {"kind": "cell_seal", **sign_seal({"cell_id": CELL, "calls": 1}, KEY)}],
    )
    found = verify_ledger(tmp_path, public_key=KEY.public_key())
    assert (told(found), found.exit_code) == ([], 3)
    assert found.not_checked == (
        "chains and ends: no signed seal names heads, an older CAB wrote them",
    )


async def test_another_key_is_told(ledger: Path) -> None:
    """A ledger that is signed with another key than the expected one does not hold."""
    other = Ed25519PrivateKey.generate().public_key()
    found = verify_ledger(ledger, public_key=other)
    assert "nothing in it is signed with ed25519:" in told(found)[0]
    assert found.not_checked == (
        "3 seals and checkpoints, signed with ed25519:56475aa75463474c: give that key",
    )


async def test_a_changed_signature_is_found(ledger: Path, tmp_path: Path) -> None:
    """A checkpoint that was changed and chained again does not hold."""
    records = [
        orjson.loads(line) for line in (ledger / "w0-000001.jsonl").read_bytes().splitlines()
    ]
    for record in records:
        if record["kind"] == "checkpoint":
            record["at"] = "2020-01-01T00:00:00.000000Z"
        for name in ("schema", "prev", "hash"):
            del record[name]
    shutil.copytree(ledger, tmp_path / "copy")
    write_ledger(tmp_path / "copy", records)
    faults = told(verify_ledger(tmp_path / "copy", public_key=KEY.public_key()))
    assert faults[0] == "w0-000001.jsonl:2: the seal was changed after it was signed"
