"""The commands of the guides work as pasted, from an empty folder."""

from pathlib import Path

import pytest

from tests.tools.page_commands import run_page, shell_blocks

pytestmark = pytest.mark.slow

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
SHOWN = {
    "getting-started.md": ("pass                     1", "cell.json: identical", "holds"),
    "meter-an-endpoint.md": (
        "first/curl/demo/guides/hello",
        '"prompt_tokens":8',
        "cab-ledger holds",
    ),
    "your-agent.md": ("agent's own count", "NOTES.md", "calls                 1  demo 1"),
    "your-task.md": ("mine/double",),
    "your-harness.md": ("pass rate 1.0 tokens per correct 40.0",),
    "team-proxy.md": ("team/ann/demo/work/december", "revoked", "cab-ledger holds"),
    "fleet.md": ("first/scripted/demo-2", "scripted"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_commands_work_as_pasted(name: str, tmp_path: Path) -> None:
    """Each command of a guide succeeds, and what the guide promises is printed."""
    printed = run_page((GUIDES / name).read_text(encoding="utf-8"), tmp_path)
    assert [text for text in SHOWN[name] if text not in printed] == [], printed


def test_every_guide_is_run() -> None:
    """No guide is left out, and none has commands in a form that is not run."""
    assert {path.name for path in GUIDES.iterdir()} == set(SHOWN)
    for path in GUIDES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert len(shell_blocks(text)) * 2 == text.count("```"), path.name
