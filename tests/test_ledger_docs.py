import re
from pathlib import Path

from cab.scoring.ledger.verify import verify_ledger
from tests.ledger_verifier import faults

PAGE = Path(__file__).parent.parent / "docs" / "ledger.md"


def test_the_example_of_the_page_holds(tmp_path: Path) -> None:
    """The chain that the documentation shows is one: both verifiers find it whole."""
    lines = re.findall(r'^    (\{"schema".*"[0-9a-f]{64}"\})$', PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 2
    (tmp_path / "w0-000001.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert verify_ledger(tmp_path).holds
    assert faults(tmp_path) == []


def test_the_other_verifier_is_as_short_as_it_is_said_to_be() -> None:
    """The second verifier has at most 40 lines and shares no code with the first."""
    text = (Path(__file__).parent / "ledger_verifier.py").read_text()
    assert text.count("\n") <= 40
    assert "cab." not in text
