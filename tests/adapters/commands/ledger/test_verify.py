from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cab.adapters.cli import main
from cab.scoring.ledger.seals import Seal
from cab.scoring.ledger.signatures import sign_seal
from tests.scoring.ledger.test_slices import sealed
from tests.scoring.ledgers import calls, chained, hash_of, write_ledger


def bundle(folder: Path) -> Path:
    """Write what a bundle has of the ledger: a cell's calls and their seal."""
    folder.mkdir()
    lines = chained(calls(2))
    (folder / "calls.jsonl").write_bytes(b"".join(lines))
    (folder / "seal.json").write_bytes(orjson.dumps(sealed(lines).model_dump()))
    return folder


def test_a_ledger_that_holds_shows_its_heads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole ledger is exit code 0, with each chain's head to note; the head can be given back."""
    [file] = write_ledger(tmp_path / "cab-ledger", calls(2))
    head = hash_of(file.read_bytes().splitlines()[-1])
    assert main(["ledger", "verify"]) == 0
    out = capsys.readouterr().out
    assert head in out
    assert out.endswith("cab-ledger holds: 4 records, 0.0 MB\n")
    assert main(["ledger", "verify", "cab-ledger", "--head", f"sha256:{head.upper()}"]) == 0


def test_what_does_not_hold_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fault is one line with segment and line number, and the exit code is 1."""
    [file] = write_ledger(tmp_path / "l\x1b", calls(2))
    file.write_bytes(file.read_bytes().replace(b'"c2"', b'"c3"') + b"x")
    assert main(["ledger", "verify", str(file.parent), "--head", "0" * 63 + "1"]) == 1
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith("w0-000001.jsonl:3: edited")
    assert lines[2] == "w0-000001.jsonl:5: torn: the line ends without a newline"
    assert "written anew" in lines[3]
    assert "does NOT hold, 4 faults: 5 records" in lines[-1]
    assert "\x1b" not in out


def test_very_many_faults_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file of garbage the first faults are shown and the rest is counted."""
    (tmp_path / "w0-000001.jsonl").write_bytes(b"x\n" * 1500)
    assert main(["ledger", "verify", str(tmp_path)]) == 1
    assert "... and 500 more\n" in capsys.readouterr().out


def test_json_has_it_all(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json one object tells verdict, faults and heads."""
    [file] = write_ledger(tmp_path, calls(1))
    assert main(["ledger", "verify", str(tmp_path), "--json"]) == 0
    result = orjson.loads(capfdbinary.readouterr().out)
    head = hash_of(file.read_bytes().splitlines()[-1])
    assert result["heads"] == [{"chain": "w0", "segments": 1, "records": 2, "hash": head}]
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["ledger", "verify", str(tmp_path), "--json"]) == 1
    result = orjson.loads(capfdbinary.readouterr().out)
    assert (result["holds"], result["fault_count"], result["records"]) == (False, 1, 2)
    assert result["faults"] == [
        {"path": str(file), "line": 2, "what": "torn: the line ends without a newline"}
    ]


@pytest.mark.parametrize("what", ["", "calls.jsonl"])
def test_a_bundle_is_held_against_its_seal(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle, or its calls.jsonl, is verified alone, against the seal beside it."""
    folder = bundle(tmp_path / "b")
    assert main(["ledger", "verify", str(folder / what)]) == 3
    assert "holds as far as it was checked: 4 records" in capsys.readouterr().out
    lines = (folder / "calls.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "calls.jsonl").write_bytes(b"".join(lines[:2]))
    assert main(["ledger", "verify", str(folder / what)]) == 1
    assert "not what was sealed: 2 lines" in capsys.readouterr().out


def test_a_ledger_is_held_against_a_seal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --seal the lines of that cell are verified in the ledger: its cut end is found."""
    seal = bundle(tmp_path / "b") / "seal.json"
    [file] = write_ledger(tmp_path / "l", [*calls(2), *calls(1, "other/a/m/f/t")])
    assert main(["ledger", "verify", str(tmp_path / "l"), "--seal", str(seal)]) == 3
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    assert main(["ledger", "verify", str(tmp_path / "l")]) == 0
    assert main(["ledger", "verify", str(tmp_path / "l"), "--seal", str(seal)]) == 1
    assert "w0-000001.jsonl:3: the end of call c2 is missing" in capsys.readouterr().out


def test_a_signature_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --public-key the seal must be signed with that key."""
    folder, key = bundle(tmp_path / "b"), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "seal.pub").write_bytes(public)
    arguments = ["ledger", "verify", str(folder), "--public-key", str(tmp_path / "seal.pub")]
    seal = Seal.model_validate_json((folder / "seal.json").read_bytes()).model_dump()
    assert main(arguments) == 1
    assert "seal.json: " in capsys.readouterr().out
    (folder / "seal.json").write_bytes(orjson.dumps(sign_seal(seal, key)))
    assert main(arguments) == 3  # the other files of the bundle are signed by nobody
    arguments[2] = str(folder / "calls.jsonl")
    assert main(arguments) == 0
    assert main(arguments[:3]) == 3
    out = capsys.readouterr().out
    assert "checked: the signature of seal.json\n" in out
    assert "not checked: the signature of seal.json: give --public-key\n" in out


def test_what_was_not_checked_is_told(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A seal that nobody signed is told in JSON and by the exit code, whatever else holds."""
    folder = bundle(tmp_path / "b")
    assert main(["ledger", "verify", str(folder), "--json"]) == 3
    result = orjson.loads(capfdbinary.readouterr().out)
    assert (result["holds"], result["fault_count"]) == (True, 0)
    assert result["checked"] == [
        "the lines of the cell against the digest, the number and the sums of its seal"
    ]
    assert result["not_checked"] == [
        "who made seal.json: it is not signed",
        "cell.json, manifests and patch: the bundle has no signed result.intoto.json",
    ]


def test_a_bundle_whose_seal_is_gone_does_not_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its seal nothing says that these are all calls of the cell."""
    folder = bundle(tmp_path / "b")
    (folder / "seal.json").unlink()
    assert main(["ledger", "verify", str(folder)]) == 1
    assert "b: seal.json is missing: nothing says that" in capsys.readouterr().out


@pytest.mark.parametrize("member", ["calls", "digest", "cell_id"])
def test_repeated_members_of_a_seal_do_not_hold(
    tmp_path: Path, member: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seal that states a member twice states nothing: readers differ about which one counts."""
    folder = bundle(tmp_path / "b")
    text = (folder / "seal.json").read_bytes()
    (folder / "seal.json").write_bytes(text[:-1] + b',"%b":null}' % member.encode())
    assert main(["ledger", "verify", str(folder)]) == 1
    assert f"seal.json: the member '{member}' is there twice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "none: No such file or directory"),
        (["l/w0-000001.jsonl"], "has no seal.json beside it; give it with --seal"),
        (["b", "--head", "0" * 64], "--head is for ledgers"),
        (["l", "--head", "abc"], "'abc' is not a head: give 64 hex digits"),
        (["l", "--seal", "none"], "none: No such file"),
        (["l", "--public-key", "none"], "none: No such file"),
        (["b", "--public-key", "none"], "none: No such file"),
    ],
)
def test_wrong_use_is_exit_code_2(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be verified at all is one line and exit code 2, never a verdict."""
    write_ledger(tmp_path / "l", calls(1))
    bundle(tmp_path / "b")
    assert main(["ledger", "verify", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err
