"""Writes docs/catalogue.md from the run's results, when asked to."""

import os

import pytest

from tests.proxy.catalogue.report import FILE, Result, page

PASSED: set[Result] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note which runs passed."""
    if report.when != "call" or not report.passed:
        return
    run = dict(report.user_properties)
    if "case" in run:
        PASSED.add((str(run["case"]), str(run["dialect"]), bool(run["stream"])))


def pytest_sessionfinish() -> None:
    """Write the page."""
    if os.environ.get("CAB_WRITE_CATALOGUE") and PASSED:
        FILE.write_text(page(PASSED))
