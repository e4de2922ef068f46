"""What is told of an install from PyPI that failed; the installs themselves are in test_install.py."""

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
    """Of uv the last error with its nearest cause is told, of pip the last line."""
    assert pypi_failure(text) == said
