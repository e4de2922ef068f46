"""A sweep's folder is verified: its signed report lists every attempt, each with its seal."""

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cab.adapters.cli import main
from cab.adapters.sweeps.verify_report import verify_sweep
from cab.scoring.errors import BadRecord
from tests.adapters.light_task import light_task

TASK = "polyglot/python-error-handling"
FIRST = f"s/scripted/demo/{TASK}#run1"
SECOND = f"s/scripted/demo/{TASK}#run2"
SWEEP = f"""
name = "s"
upstream = "demo"
models = ["demo"]
agents = ["scripted"]
tasks = ["{light_task()}"]
runs = 2
seal_key_file = "seal.pem"
"""
KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of two runs, with a key."""
    base = tmp_path_factory.mktemp("signed")
    (base / "seal.pem").write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (base / "seal.pub").write_bytes(
        KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (base / "sweep.toml").write_text(SWEEP)
    assert main(["sweep", str(base / "sweep.toml")]) == 0
    return base


@pytest.fixture
def sweep(signed: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(signed / "sweeps" / "s", tmp_path / "s"))


def told(sweep: Path, key: Ed25519PublicKey | None = None) -> list[str]:
    found = verify_sweep(sweep, key or KEY.public_key())
    return [str(fault) for fault in found.faults]


def test_a_signed_sweep_is_checked_whole(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ledger, report, seals and results are signed with one key, and all of it is checked."""
    arguments = ["ledger", "verify", str(signed / "sweeps" / "s")]
    assert main([*arguments, "--public-key", str(signed / "seal.pub")]) == 0
    out = capsys.readouterr().out
    assert "checked: 2 attempts of report.json, and that there are no others\n" in out
    assert "not checked" not in out
    assert main(arguments) == 3
    assert "not checked: the signature of report.intoto.json" in capsys.readouterr().out
    report = orjson.loads((signed / "sweeps" / "s" / "report.json").read_bytes())
    assert [(each["cell_id"], each["verdict"]) for each in report["attempts"]] == [
        (FIRST, "complete"),
        (SECOND, "complete"),
    ]


def unlist(sweep: Path) -> None:
    report = orjson.loads((sweep / "report.json").read_bytes())
    del report["attempts"][1]
    (sweep / "report.json").write_bytes(orjson.dumps(report))


def forget(sweep: Path) -> None:
    """Leave no trace of the second attempt but in the ledger."""
    unlist(sweep)
    shutil.rmtree(sweep / "runs" / SECOND)
    journal = sweep / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b"#run2" not in line))


def reseal(sweep: Path) -> None:
    file = sweep / "runs" / SECOND / "seal.json"
    file.write_bytes(file.read_bytes() + b" ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unlist, "report.json: is not the one that report.intoto.json is about"),
        (unlist, f"s: attempt {SECOND} is in journal.jsonl, and report.json does not list it"),
        (forget, f"s: attempt {SECOND} is in the ledger, and report.json does not list it"),
        (
            lambda sweep: (sweep / "runs" / SECOND / "seal.json").unlink(),
            f"seal.json: attempt {SECOND}: its seal is missing; report.json has SHA-256",
        ),
        (
            lambda sweep: shutil.rmtree(sweep / "runs" / SECOND),
            f"seal.json: attempt {SECOND}: its seal is missing; report.json has SHA-256",
        ),
        (reseal, f"seal.json: attempt {SECOND}: its seal was changed; report.json has SHA-256"),
        (
            lambda sweep: shutil.copytree(sweep / "runs" / SECOND, sweep / "failed" / f"{FIRST}0"),
            f"s: attempt {FIRST}0 is in a bundle, and report.json does not list it",
        ),
        (
            lambda sweep: (sweep / "runs" / SECOND / "cell.json").write_bytes(b"{}"),
            "cell.json: was changed: result.intoto.json has SHA-256",
        ),
        (
            lambda sweep: (sweep / "report.intoto.json").unlink(),
            "s: report.intoto.json is missing: the report is not signed",
        ),
    ],
)
def test_an_attempt_cannot_be_left_out(
    sweep: Path, change: Callable[[Path], object], said: str
) -> None:
    """An attempt that is hidden, or whose seal is gone or changed, is named."""
    assert told(sweep) == []
    change(sweep)
    assert any(text.startswith(said) for text in told(sweep)), told(sweep)


def test_another_key_does_not_hold(sweep: Path) -> None:
    """A report that somebody else signed is told."""
    found = told(sweep, Ed25519PrivateKey.generate().public_key())
    assert any("report.intoto.json: is not signed with ed25519:" in text for text in found)


def test_without_the_ledger_that_is_told(sweep: Path) -> None:
    """Attempts that left no bundle show in the ledger alone, so its absence is told."""
    shutil.rmtree(sweep / "ledger")
    found = verify_sweep(sweep, KEY.public_key())
    assert (found.holds, found.exit_code) == (True, 3)
    assert found.not_checked == (
        "the ledger: it is not in ledger; attempts without a bundle are not seen",
    )


def test_a_bundle_outside_of_the_folder_is_refused(sweep: Path) -> None:
    """A report that leads elsewhere is not followed, and one of an older CAB cannot be verified."""
    report = orjson.loads((sweep / "report.json").read_bytes())
    report["attempts"][0]["bundle"] = "../elsewhere"
    (sweep / "report.json").write_bytes(orjson.dumps(report))
    with pytest.raises(BadRecord, match="leads out of the folder"):
        told(sweep)
    del report["attempts"]
    (sweep / "report.json").write_bytes(orjson.dumps(report))
    with pytest.raises(BadRecord, match="attempts: is missing: an older CAB wrote it"):
        told(sweep)
