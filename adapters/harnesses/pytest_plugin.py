"""`pytest --cab`: a cell for each test. docs/pytest.md describes it.

pytest imports this module at every start, in every project that has CAB installed. So it imports nothing
that pytest has not imported already; the rest comes with `--cab`.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cab.adapters.harnesses.metered_test import MeteredTest

_METER = "cab-meter"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that begin with `--cab`."""
    group = parser.getgroup("cab", "tokens and cost of model calls, by test")
    group.addoption("--cab", action="store_true", help="meter the model calls of each test")
    group.addoption(
        "--cab-upstream",
        metavar="URL",
        help="the endpoint; `demo` is the built-in model server"
        " (default: CAB_ENDPOINT with the key in CAB_KEY, else OPENAI_BASE_URL with OPENAI_API_KEY)",
    )
    group.addoption(
        "--cab-ledger",
        metavar="FOLDER",
        default="cab-ledger",
        help="where the records of all calls are kept (default: cab-ledger)",
    )
    group.addoption(
        "--cab-sweep",
        metavar="NAME",
        help="first part of the cells' ids (default: pytest- and the time)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start metering, if asked to."""
    if config.getoption("cab") and not config.getoption("collectonly"):
        from cab.adapters.harnesses.pytest_meter import PytestMeter  # noqa: PLC0415 - not without --cab

        config.pluginmanager.register(PytestMeter(config), _METER)


@pytest.fixture
def cab_cell(request: pytest.FixtureRequest) -> "MeteredTest":
    """The test's own cell: `base_url`, `url`, `key`, `cell_id`, and `totals()` of its calls so far."""
    if not request.config.pluginmanager.has_plugin(_METER):
        pytest.fail("cab_cell: nothing is metered; run pytest with --cab", pytrace=False)
    cell: MeteredTest = request.getfixturevalue("_cab_metered")
    return cell
