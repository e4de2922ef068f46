"""Writes docs/catalogue.md and docs/endpoints.md from the run's results, when asked to."""

import os
from typing import Any, cast

import pytest

from tests.proxy.catalogue import endpoints
from tests.proxy.catalogue.report import FILE, Result, page

PASSED: set[Result] = set()
READ: dict[endpoints.Key, endpoints.Reading] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note which runs passed."""
    if report.when != "call" or not report.passed:
        return
    run = dict(report.user_properties)
    for name, value in report.user_properties:
        if name == "run":
            fault, dialect, stream = cast("list[Any]", value)
            PASSED.add((str(fault), str(dialect), bool(stream)))
    if "stack" in run:
        reading = endpoints.Reading.model_validate_json(str(run["reading"]))
        READ[str(run["stack"]), str(run["answer"])] = reading


def pytest_sessionfinish() -> None:
    """Write the pages."""
    if not os.environ.get("CAB_WRITE_CATALOGUE"):
        return
    if PASSED:
        FILE.write_text(page(PASSED))
    if READ:
        endpoints.FILE.write_text(endpoints.page(READ))
