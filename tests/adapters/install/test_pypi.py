"""The reason of a failed install from PyPI; the installs themselves are in test_install.py."""

import pytest

from cab.adapters.install.pypi import pypi_failure


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("error: No interpreter found for Python 3.91\n", "No interpreter found for Python 3.91"),
        (
            "error: No solution\n  cause: Because a needs b\n    And c\n",
            "No solution: Because a needs b",
        ),
        ("error: Failed\n  Caused by: No room\n  Caused by: 28\n", "Failed: No room"),
        ("warning: old\nerror: first\nerror: second\n  cause: this\n", "second: this"),
        (
            "Collecting x\nERROR: No matching distribution found for x\n\n",
            "ERROR: No matching distribution found for x",
        ),
    ],
)
def test_failure(text: str, said: str) -> None:
    """The reason is uv's last error with its nearest cause, or pip's last line."""
    assert pypi_failure(text) == said
