"""The dashboard and the alert rules: held against the metrics, and used by a real Prometheus."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from cab.proxy.control.metrics.table import METRICS
from tests.proxy.control.metrics.reading import from_ledger
from tests.proxy.control.serving import COMPLETION, USAGE
from tests.tools.ports import port_without_listener
from tests.tools.proxy import metered
from tests.tools.upstream import json_answer, scripted_upstream
from tests.tools.wires import DIRECT

FILES = Path(__file__).parents[4] / "docs" / "monitoring"
TOKEN = "metrics-token-of-the-tests"
PROMETHEUS = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")
WIRES = (DIRECT,)
_OF_PROMETHEUS = {"job", "instance", "le"}


def dashboard() -> list[str]:
    """Return the expressions of the dashboard, with values in place of its variables."""
    panels = json.loads((FILES / "grafana-dashboard.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    variables = {"$__rate_interval": "5m", "$__range": "1h", "$job": "cab"}
    for name, text in variables.items():
        found = [expression.replace(name, text) for expression in found]
    return found


def rules() -> list[dict[str, Any]]:
    read = yaml.safe_load((FILES / "prometheus-alerts.yml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    return [*dashboard(), *(rule["expr"] for rule in rules())]


def metrics_in(expression: str) -> Iterator[str]:
    """Yield the metrics that an expression names, those of histograms without their endings."""
    for name in re.findall(r"\bcab_[a-z_]+", expression):
        bare = re.sub(r"_(bucket|count|sum)$", "", name)
        yield bare if METRICS.get(bare, METRICS["cab_workers"]).kind == "histogram" else name


@pytest.mark.parametrize("expression", expressions())
def test_expressions_name_metrics_and_labels_that_there_are(expression: str) -> None:
    """Each metric is one of ours, and so is each label that is chosen or grouped by."""
    names = list(metrics_in(expression))
    assert set(names) <= set(METRICS)
    labels = _OF_PROMETHEUS.union(*(METRICS[name].labels for name in names))
    chosen = re.findall(r"(\w+)(?:=~|!=|!~|=)\"", expression)
    grouped = [
        each for group in re.findall(r"by \(([^)]*)\)", expression) for each in group.split(", ")
    ]
    assert {*chosen, *grouped} <= labels


def test_each_metric_is_on_the_dashboard() -> None:
    """What is measured can be seen."""
    assert {name for each in dashboard() for name in metrics_in(each)} == set(METRICS)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: apt-get install prometheus")
def test_prometheus_reads_all_expressions(tmp_path: Path) -> None:
    """Its own checker takes the alert rules, and the expressions of the dashboard."""
    recorded = [{"record": f"x{n}", "expr": each} for n, each in enumerate(dashboard())]
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]})
    )
    for file in (FILES / "prometheus-alerts.yml", tmp_path / "rules.yml"):
        subprocess.run(
            [PROMTOOL or "", "check", "rules", str(file)], check=True, capture_output=True
        )


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """Run a Prometheus with our files that scrapes a proxy ten times a second; give its address."""
    config = yaml.safe_load((FILES / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "100ms", "scrape_timeout": "100ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "metrics.token").write_text(TOKEN)
    shutil.copy(FILES / "prometheus-alerts.yml", folder)
    with port_without_listener() as port:  # Prometheus does not say which free one it takes
        address = f"127.0.0.1:{port}"
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [
            *(PROMETHEUS or "", f"--config.file={folder / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


async def asked(session: aiohttp.ClientSession, url: str, expression: str) -> float | None:
    """Return the value of an expression; None while there is none, or nobody to ask."""
    try:
        async with session.get(f"{url}/api/v1/query", params={"query": expression}) as answer:
            [first, *_] = (await answer.json())["data"]["result"] or [None]
    except (aiohttp.ClientConnectionError, aiohttp.ContentTypeError):
        return None
    return None if first is None else float(first["value"][1])


def expression(name: str) -> str:
    """Return what Prometheus is asked for a figure of `from_ledger`."""
    metric, _, label = name.partition(" ")
    which = "kind" if metric == "cab_tokens_total" else "outcome"
    return f'sum({metric}{{{which}="{label}"}})' if label else f"sum({metric})"


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is missing: apt-get install prometheus")
async def test_a_real_prometheus_shows_the_figures_of_the_ledger(tmp_path: Path) -> None:
    """It scrapes a proxy under load; in the end its sums are the ledger's, number for number."""
    answer = json_answer({**COMPLETION, "usage": {**USAGE, "cost": 0.25}})
    async with (
        scripted_upstream([answer]) as upstream,
        metered(upstream.url, tmp_path, metrics_token=TOKEN, metrics_models=["m"]) as meter,
        prometheus(tmp_path, meter.url.removeprefix("http://")) as url,
        aiohttp.ClientSession() as session,
    ):
        for _ in range(5):
            await asyncio.gather(*(meter.chat() for _ in range(10)))
        ends = meter.ends()
        async with asyncio.timeout(60):
            # Nothing tells a test when Prometheus has scraped.
            while await asked(session, url, "sum(cab_calls_total)") != len(ends):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        expected = from_ledger(ends)
        shown = {name: await asked(session, url, expression(name)) for name in expected}
        tokens = await asked(session, url, 'sum(cab_tokens_total{kind="prompt",model="m"})')
    for name, number in shown.items():
        assert (number or 0.0) == pytest.approx(expected[name], abs=1e-9), name
    assert tokens == expected["cab_tokens_total prompt"] == 50 * USAGE["prompt_tokens"]
    assert expected["cab_cost_usd_total"] == 12.5
