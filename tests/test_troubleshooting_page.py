"""Each message that docs/help/troubleshooting.md quotes is one that the code can print."""

import re
from pathlib import Path

import pytest

from tests.tools.code_texts import GAP, code_texts

PAGE = Path(__file__).parents[1] / "docs" / "help" / "troubleshooting.md"
# The last table shows numbers, not messages.
MESSAGES = re.findall(
    r"^\| `(.+?)` \| ", PAGE.read_text("utf-8").partition("## Numbers")[0], re.MULTILINE
)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_stands_in_the_code(message: str) -> None:
    """A message that was reworded would not be found by who searches the page for it."""
    parts = [re.escape(part) for part in message.split(GAP)]
    quoted = re.compile(f"{GAP}?".join(parts) if len(parts) == 1 else f"{GAP}+".join(parts))
    assert any(quoted.search(text) for text in code_texts()), message


def test_the_page_has_messages() -> None:
    """The tables are read at all."""
    assert len(MESSAGES) > 40
