"""What the tests with SDKs of several files need."""

import pytest

from tests.tools.node import install_node


@pytest.fixture(scope="session")
def node() -> str:
    """Return node's path once the npm package is installed."""
    return install_node()
