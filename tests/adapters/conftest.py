"""Tests of this room start, stop and look for processes all over the machine: never two of them at a time."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one of the processes that run tests side by side run all tests of this room."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("adapters"))
