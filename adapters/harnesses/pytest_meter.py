"""What `pytest --cab` adds to a run: one proxy, a cell for each test, and the table at the end."""

import logging
import os
import secrets
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from cab.adapters.harnesses.control_thread import ControlThread
from cab.adapters.harnesses.metered_test import MeteredTest
from cab.adapters.harnesses.pytest_report import report_lines
from cab.adapters.meter.metering import without_origin
from cab.proxy import CabProxyError, start_proxy
from cab.scoring import CellId, ScoringError, iter_records
from cab.scoring.ledger.totals import total_cells

_KEY_TTL_S = 7 * 24 * 3600
_REPORTED = ("calls", "prompt_tokens", "completion_tokens", "total_tokens", "cost_usd")
"""Sums of the control API that become properties of a test."""


class PytestMeter:
    """The plugin of a run with `--cab`, in pytest's own process and in each worker of pytest-xdist.

    The proxy runs in pytest's own process, so that a worker that crashes loses no record. Fixtures of a
    wider scope than a test are set up before the test's own cell is in the environment: their calls, and
    those of clients that they make, belong to a cell of the session.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._options = config.option
        self._given: dict[str, str] | None = getattr(config, "workerinput", {}).get("cab")
        named = self._given["sweep"] if self._given else self._options.cab_sweep
        self._sweep = named or f"pytest-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self._worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        self._address = self._token = ""
        self._ledger: Path | None = None
        self._control: ControlThread | None = None
        self._runs = Counter[str]()
        self._tests: dict[str, tuple[str, int]] = {}
        """The tests that made calls, by their cells: their names, and the calls that each had made at its end."""
        self._proxy, self._rest = ExitStack(), ExitStack()
        config.add_cleanup(self._proxy.close)  # a session that does not come to its end
        config.add_cleanup(self._rest.close)

    @pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts its workers
    def pytest_sessionstart(self) -> None:
        """Start the proxy, unless this is a worker, and put the session's own cell into the environment."""
        try:
            if self._given is None:
                self._start()
            else:
                self._address, self._token = self._given["address"], self._given["token"]
            self._control = self._rest.enter_context(ControlThread(self._address, self._token))
            self._rest.enter_context(self._environment(self._cell("session", self._worker)))
        except (CabProxyError, ScoringError) as error:
            raise pytest.UsageError(f"--cab: {without_origin(error)}") from error

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - pytest-xdist may not be there
        """Tell a worker of pytest-xdist where the proxy is."""
        node.workerinput["cab"] = {
            "address": self._address,
            "token": self._token,
            "sweep": self._sweep,
        }

    @pytest.fixture(autouse=True)
    def _cab_metered(self, request: pytest.FixtureRequest) -> Generator[MeteredTest]:
        node = cast("pytest.Item", request.node)  # pyright: ignore[reportUnknownMemberType] - untyped there
        module, _, name = node.nodeid.partition("::")
        cell = self._cell(module, name or module)
        if "cab_cell" in request.fixturenames:
            cell.control.open_cell(cell.cell_id)  # no call is a measured zero then
        with self._environment(cell):
            yield cell
        if totals := cell.totals():
            found = {name: totals.get(name) for name in _REPORTED}
            texts = {name: "unknown" if v is None else v for name, v in found.items()}
            node.user_properties.append(("cab_cell", cell.cell_id))
            node.user_properties += [(f"cab_{name}", value) for name, value in texts.items()]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep which test a cell belongs to, from this process or from a worker."""
        found = dict(report.user_properties)
        if report.when == "teardown" and "cab_cell" in found:
            self._tests[str(found["cab_cell"])] = report.nodeid, int(str(found["cab_calls"]))

    @pytest.hookimpl(trylast=True)  # once pytest-xdist has ended its workers
    def pytest_sessionfinish(self) -> None:
        """End the proxy: calls in flight finish first."""
        self._rest.close()
        self._proxy.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what each test spent, by the ledger."""
        if self._ledger is None:
            return
        cells = total_cells(iter_records(self._ledger, prefix=f"{self._sweep}/"))
        terminalreporter.section("model calls, by cab")
        for line in report_lines(cells, self._tests):
            terminalreporter.write_line(line)
        terminalreporter.write_line(
            f"ledger: {self._options.cab_ledger}, cells: {self._sweep}/pytest/"
        )

    def _start(self) -> None:
        upstream, key = _endpoint(self._options.cab_upstream)
        self._token = secrets.token_urlsafe(32)
        # Its log is not what tests look at with caplog.
        log = logging.getLogger("cab.proxy")
        self._proxy.callback(log.setLevel, log.level)
        log.setLevel(logging.ERROR)
        proxy = self._proxy.enter_context(
            start_proxy(
                upstream=upstream,
                key=key,
                ledger=Path(self._options.cab_ledger).absolute(),  # tests go to other folders
                auth="keys",
                admin_token=self._token,
            )
        )
        self._address, self._ledger = proxy.url, proxy.ledger_dir
        if self._options.cab_sweep and any(iter_records(self._ledger, prefix=f"{self._sweep}/")):
            raise pytest.UsageError(
                f"--cab-sweep {self._sweep}: the ledger has cells of that name; choose another"
            )

    def _cell(self, family: str, task: str) -> MeteredTest:
        assert self._control is not None
        name = str(CellId(self._sweep, "pytest", "any", _part(family), _part(task)))
        self._runs[name] += 1  # a test that is repeated gets another cell
        cell_id = name if self._runs[name] == 1 else f"{name}#run{self._runs[name]}"
        key = self._control.mint(cell_id, _KEY_TTL_S)
        return MeteredTest(cell_id, self._address, key, self._control)

    @staticmethod
    def _environment(cell: MeteredTest) -> ExitStack:
        stack = ExitStack()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in cell.environment().items():
            patch.setenv(name, value)
        return stack


def _endpoint(given: str | None) -> tuple[str, str | None]:
    """Return the endpoint's URL and its key; workers and tests do not inherit CAB_KEY.

    Raises:
        UsageError: No endpoint is named.
    """
    key = os.environ.pop("CAB_KEY", None)
    if upstream := given or os.environ.get("CAB_ENDPOINT"):
        return upstream, key
    if upstream := os.environ.get("OPENAI_BASE_URL"):
        return upstream, key or os.environ.get("OPENAI_API_KEY")
    raise pytest.UsageError(
        "--cab needs an endpoint: give --cab-upstream URL, or set CAB_ENDPOINT and CAB_KEY"
    )


def _part(text: str) -> str:
    """Return a path or the name of a test as a part of a cell's id; different names stay different."""
    return "".join(_ESCAPES.get(c, c if c.isprintable() else "?") for c in text)


_ESCAPES = {"%": "%25", "/": "%2F", "\\": "%5C", "#": "%23"}
