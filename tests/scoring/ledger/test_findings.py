from pathlib import Path

from cab.scoring.ledger.verification.findings import Fault, Findings


def test_a_fault_is_one_line() -> None:
    """A fault names the file without its folder, the line where there is one, and what is wrong."""
    path = Path("ledger") / "w0-000001.jsonl"
    assert str(Fault(path, 3, "torn")) == "w0-000001.jsonl:3: torn"
    assert str(Fault(path, None, "missing")) == "w0-000001.jsonl: missing"


def test_what_has_no_fault_holds() -> None:
    """A verification holds exactly if nothing was found."""
    findings = Findings(records=2)
    assert findings.result().holds
    findings.add(Path("a"), None, "b")
    assert not findings.result().holds
    assert findings.result().records == 2
