"""The queries of docs/lake.md on a real sweep, and on calls of every kind, against CAB's own figures."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from cab.scoring.ids import parse_cell_id
from cab.scoring.ledger.call_stats import median, p95
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.records import CallEnd
from cab.scoring.ledger.totals import CallTotals, CellTotals, is_model_call, total_cells
from tests.adapters.commands.lake.reading import ask, queries
from tests.adapters.light_task import light_task
from tests.scoring.builders import end_fields, unmeasured
from tests.scoring.exports.cells import bundle
from tests.scoring.ledgers import write_ledger

pytestmark = pytest.mark.slow

LEDGERS = ("sweeps/s/ledger", "other")
SWEEP = f"""
name = "s"
upstream = "demo"
models = ["demo", "acme/demo-2"]
agents = ["scripted", "tests.adapters.sweeps.agents:Whole"]
tasks = ["{light_task()}"]
jobs = 4
prices_file = "prices.toml"
"""
PRICES = """
name = "acme"
[models.demo]
input = 3
output = 15
cache_read = 0.3
[models."acme/demo-2"]
input = "0.25"
output = 2
"""
LAB = "/lab/demo/polyglot/python-error-handling"
TASK = "/demo/polyglot/python-error-handling"


def priced(*prices: str | None) -> list[dict[str, object]]:
    """Return calls of these prices."""
    return [end_fields(f"c{n}", cost_usd=price) for n, price in enumerate(prices)]


def other_records() -> list[dict[str, object]]:
    """Return calls as no sweep of a test makes them: repeated, not counted, without a price, refused."""
    kinds = [
        end_fields("a", attempt=1, status=503, cost_usd="0", key_id="k1", ttft_ms=80.5),
        end_fields("b", attempt=2, retry_of="a", cost_usd="0.1", key_id="k1", ttft_ms=7.25),
        end_fields("c", cost_usd=0.2, cache_read_tokens=40, key_id="k2", upstream_attempts=2),
        unmeasured("d", key_id="k2"),
        end_fields("e", end_reason="rejected", cost_usd="9"),
        end_fields("f", endpoint="other", may_cost=True, usage_source="none"),
        end_fields("g", started_at="2026-11-21T00:00:00.000000Z", cost_usd="0.3", ttft_ms=9.0),
        end_fields("h", usage_status="partial", completion_tokens=None, total_tokens=None),
    ]
    cells = ["t/one", "t/one", "t/two", "u/one", "u/one", "t/two", "t/one", "u/three"]
    hosts = ["h1:80", "h1:80", "h2:80", "h1:80", None, "h2:80", "h1:80", "h2:80"]
    return [
        {**record, "cell_id": f"{cell}{TASK}", "upstream": host, "seq": 1}
        for record, cell, host in zip(kinds, cells, hosts, strict=True)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake, and what it was made from."""
    folder = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("prices.toml").write_text(PRICES)
        Path("sweep.toml").write_text(SWEEP)
        assert main(["sweep", "sweep.toml", "--json"]) == 0
        write_ledger(folder / "other", other_records())
        runs = folder / "runs"
        bundle(runs / "1", "local/one" + LAB, passed=False)
        bundle(runs / "2", f"local/scripted{LAB}#run9", calls=priced("0.05", "0.002"))
        unchecked = "the check did not run"
        bundle(runs / "3", f"local/scripted{LAB}#run10", calls=priced("0.5"), unchecked=unchecked)
        bundle(runs / "4", f"local/two{LAB}", calls=priced("0.5", None))
        for ledger in LEDGERS:
            assert main(["ledger", "export", ledger, "--lake", "lake"]) == 0
        assert main(["export", "lake", "sweeps/s/runs", "runs", "-o", "lake"]) == 0
    return folder


@pytest.fixture(autouse=True)
def there(place: Path, own_place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is in that folder."""
    del own_place
    monkeypatch.chdir(place)


def query(word: str) -> str:
    [found] = [text for question, text in queries().items() if word in question]
    return found


def model_calls() -> list[CallEnd]:
    return [call for name in LEDGERS for call in iter_calls(Path(name)) if is_model_call(call)]


def totals_by(key: str) -> dict[object, CellTotals]:
    """Return CAB's sums over the model calls that have the same value of a member, or of a part of the cell."""
    found: defaultdict[object, CellTotals] = defaultdict(CellTotals)
    for call in model_calls():
        cell = parse_cell_id(str(call.cell_id))
        found[getattr(cell if hasattr(cell, key) else call, key)].add(vars(call))
    return dict(found)


def test_every_query_is_asked() -> None:
    """The page has no query that no test runs."""
    assert len(queries()) == 6


def test_cost_per_solved_task(capsys: pytest.CaptureFixture[str]) -> None:
    """It is that of `cab score --by tui --by model`, null where a price is missing or nothing passed."""
    code = main(["score", "sweeps/s/runs", "runs", "--by", "tui", "--by", "model", "--json"])
    groups = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 3  # some have no seal
    ours = {
        (g["key"]["tui"], g["key"]["model"]): (
            g["cells"],
            g["passed"],
            g["cost_usd_per_pass"]["value"],
        )
        for g in groups
    }
    found = {(tui, model): tuple(rest) for tui, model, *rest in ask(query("solved task"))}
    assert found == {key: pytest.approx(value) for key, value in ours.items()}
    unknown = {key for key, (_, _, usd) in found.items() if usd is None}
    assert unknown == {("one", "lab/demo"), ("two", "lab/demo")}
    assert found["scripted", "lab/demo"] == (2, 1, 0.552)


def test_first_token_by_model() -> None:
    """Median and 95th percentile are the ones of a cell's own axis, over all calls of a model."""
    times: defaultdict[str | None, list[float]] = defaultdict(list)
    calls: defaultdict[str | None, int] = defaultdict(int)
    for call in model_calls():
        model = call.model_served or call.model_requested
        calls[model] += 1
        if call.ttft_ms is not None:
            times[model].append(call.ttft_ms)
    assert ask(query("first token")) == [
        (model, calls[model], len(each), pytest.approx(median(each)), p95(each))
        for model, each in sorted((m, sorted(t)) for m, t in times.items() if m is not None)
    ] + [(None, 5 + 1, 3, 9.0, 80.5)]
    assert (len(times["demo"]), calls["demo"]) == (3, 6)


def test_cache_share_by_agent() -> None:
    """It is the cached part of the prompt in CAB's sums, over the calls that say it."""
    found = {tui: rest for tui, *rest in ask(query("cache"))}
    ours = totals_by("tui")
    for tui, totals in ours.items():
        calls, unknown, share = found[str(tui)]
        assert (calls, unknown) == (totals.calls, totals.tokens.cache_read.missing)
        if not unknown:
            known = totals.tokens
            assert share == pytest.approx(known.cache_read.known / known.prompt.known)
    assert found["scripted"][2] > 0
    assert (found["one"][2], found["two"][1:]) == (None, [0, 0.4])


def test_repetitions_by_endpoint() -> None:
    """Calls, repetitions and requests are CAB's own, for each host."""
    ours = {
        host: (totals.calls, totals.repetitions, totals.attempts)
        for host, totals in totals_by("upstream").items()
    }
    found = {host: tuple(rest) for host, *rest in ask(query("repeated"))}
    assert found == ours
    assert found["h1:80"] == (4, 1, 4)


def test_tokens_by_day_and_key() -> None:
    """They are CAB's sums of what is known, and the number of calls that these leave out."""
    ours: defaultdict[tuple[str, str | None], CallTotals] = defaultdict(CallTotals)
    for name in LEDGERS:
        for call in iter_calls(Path(name)):
            ours[call.started_at[:10], call.key_id].add(vars(call))
    found = {(str(day), key): tuple(rest) for day, key, *rest in ask(query("by day"))}
    assert found == {
        key: (totals.tokens.total.known, totals.unmeasured_calls) for key, totals in ours.items()
    }
    assert ("2026-11-21", None) in found
    assert sum(unknown for _, unknown in found.values()) == 3


def test_cost_of_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    """It is exactly what the sweep says that it spent; where a call has no price it is unknown."""
    assert main(["sweep", "sweep.toml", "--report", "--json"]) == 0
    spend = orjson.loads(capsys.readouterr().out)["spend"]
    found = {
        (sweep, has): (calls, usd) for sweep, has, calls, usd in ask(query("without a result"))
    }
    assert found["s", True] == (spend["calls"], Decimal(spend["cost_usd"]))
    for (sweep, _), (calls, usd) in found.items():
        mine = [t for cell, t in total_cells_of("other").items() if cell.startswith(f"{sweep}/")]
        if sweep != "s":
            assert calls == sum(totals.calls for totals in mine)
            missing = any(totals.cost.missing for totals in mine)
            assert usd == (None if missing else sum(totals.cost.known for totals in mine))
    assert set(found) == {("s", True), ("t", False), ("u", False)}


def total_cells_of(name: str) -> dict[str, CellTotals]:
    return {str(cell): totals for cell, totals in total_cells(iter_calls(Path(name))).items()}
