"""The benchmark of the data path, with loads of a few calls."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.speed import contenders, guard, live, load, soak
from benchmarks.speed.goals import goals
from benchmarks.speed.load import Load, Measured
from benchmarks.speed.messages import AnswerReader
from benchmarks.speed.plot import plot
from benchmarks.speed.report import BEGIN, END, report, write
from benchmarks.speed.rounds import CASES, Case, Round, Rounds, run_round
from benchmarks.speed.soak import Sample, differences, growths

pytestmark = pytest.mark.slow
ANSWERS = {
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"5\r\ndata:\r\n10\r\n 0123456789abc\n\n\r\n0\r\n\r\n", b"data: 0123456789abc\n\n"),
    "length": (b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 4\r\n\r\nbody", b"body"),
}  # fmt: skip


@pytest.mark.parametrize("framing", ANSWERS)
def test_an_answer_is_read_however_it_is_split(framing: str) -> None:
    """At each byte the reader goes on, and only the last one makes it done."""
    wire, body = ANSWERS[framing]
    for at in range(1, len(wire)):
        reader = AnswerReader()
        first = reader.feed(wire[:at])
        assert not reader.done
        assert first + reader.feed(wire[at:]) == body
        assert (reader.done, reader.status) == (True, 200)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[contenders.Endpoint]:
    with contenders.running_endpoint(tmp_path_factory.mktemp("endpoint")) as running:
        yield running


@pytest.mark.parametrize(
    ("tiny", "counted"),
    [
        (Load("calls", 2, seconds=0.05), "calls"),
        (Load("streams", 4, seconds=0.1), "events"),
        (Load("staggered", 4, seconds=0.5, rate=100), "events"),
        (Load("burst", 4, rate=500), "events"),
        (Load("idle", 2, rate=2), None),
    ],
    ids=lambda value: value.kind if isinstance(value, Load) else "",
)
async def test_every_load_counts_what_the_endpoint_sends(
    tiny: Load, counted: str | None, endpoint: contenders.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are whole, tokens are theirs, and events come after they were sent."""
    monkeypatch.setattr(load, "WARM_S", 0.02)
    monkeypatch.setattr(load, "PAUSE_S", 0.1)
    measured = await load.Clients(replace(tiny, port=endpoint.port)).run()
    assert measured.answers >= tiny.connections
    assert measured.tokens > 100 * measured.answers
    assert bool(measured.counted) == bool(counted)
    assert bool(measured.delay_ms) == (counted == "events")
    assert all(delay > 0 for delay in measured.delay_ms)
    assert measured.cpu_us is None  # nobody stands between


def test_a_round_holds_only_if_ledger_and_clients_agree(tmp_path: Path) -> None:
    """The proxy and no proxy get the same load; one answer more than records, and the run does not count."""
    cases = {"call": Case(Load("calls", 2, seconds=0.1), ("direct", "cab", "LiteLLM"))}
    done = run_round(tmp_path, cases)
    measured = done.measured["call"]
    assert measured["cab"].cpu_us
    assert measured["direct"].cpu_us is None
    assert ("LiteLLM" in measured) == (shutil.which("litellm") is not None)
    assert done.answers == measured["cab"].answers > 0
    ledger = tmp_path / "together/cab/ledger"
    seen = {"completed": done.answers}
    assert differences(ledger, Counter(seen)) == []
    assert differences(ledger, Counter({**seen, "timeout": 1})) == [
        "timeout: 1 at the clients, 0 in the ledger"
    ]
    left = Counter(completed=done.answers - 1, client_gone=1)
    assert (
        differences(ledger, left) == []
    )  # the last bytes may leave before the client is seen to be gone
    agreed = contenders.Contender(0, ledger=ledger, answers=done.answers + 1)
    with pytest.raises(RuntimeError, match=f"{done.answers + 1} answers"):
        agreed.check()


@pytest.mark.skipif(
    not (contenders.NGINX_MODULES / "ngx_http_lua_module.so").exists(), reason="no nginx with Lua"
)
def test_lua_meters_what_the_endpoint_states(endpoint: contenders.Endpoint, tmp_path: Path) -> None:
    """Whole or streamed: one line per call, with the usage of the answer and the hash of the request."""
    answers = tokens = 0
    with contenders.CONTENDERS["nginx + Lua"](endpoint, tmp_path) as lua:
        for tiny in (Load("calls", 1, seconds=0.05), Load("burst", 2, rate=1000)):
            measured = load.measure(replace(tiny, port=lua.port, roots=lua.roots))
            answers, tokens = answers + measured.answers, tokens + measured.tokens
    lines = [orjson.loads(line) for line in (tmp_path / "meter.log").read_bytes().splitlines()]
    assert len(lines) == answers
    assert sum(line["total_tokens"] for line in lines) == tokens
    assert len({line["request_hash"] for line in lines}) > 1


def test_viewers_are_counted_in_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair has a half with viewers that saw something new, and a half without; the ledger agrees."""
    monkeypatch.setattr(live, "_SETTLE_S", 0.02)
    [pair] = live.measure(tmp_path, Load("calls", 4, seconds=0.6), 1)
    assert pair.alone_us > 0
    assert 0 < pair.feed_us < pair.watched_us
    assert pair.feed_ratio > 1


def test_the_interval_of_a_median_is_made_of_its_values() -> None:
    """By the binomial: of 6 values the outermost, of 20 the sixth from either end; of few their range."""
    assert live.interval([]) is None
    assert live.interval([3]) == (3, 3, 3)
    assert live.interval([1, 3, 2]) == (2, 1, 3)
    assert live.interval(range(6)) == (2.5, 0, 5)
    assert live.interval(range(20)) == (9.5, 5, 14)


def made_up(**cpu_us: float) -> Rounds:
    """Two rounds in which each contender costs that much for everything, the second one twice as much."""
    rounds = Rounds()
    for times in (1, 2):
        one = Round(answers=7, start_s=dict.fromkeys(cpu_us, 0.5))
        for case, (_, names) in CASES.items():
            for name in set(names) & cpu_us.keys():
                ms = [cpu_us[name] * times / 1000] * 3
                found = Measured(10, 900, 1000, 1, cpu_us[name] * times / 1000, ms, ms, 10 * 4096)
                one.measured.setdefault(case, {})[name] = found
        rounds.append(one)
    return rounds


NGINX_AND_US: dict[str, Any] = {
    "nginx": 20,
    "nginx + Lua": 40,
    "direct": 0,
    "cab": 30,
    "cab, keys": 100,
}


def test_goals_are_ratios_within_a_round() -> None:
    """What makes a round slow makes no ratio worse; what was not measured does not hold."""
    found = {goal.text: goal for goal in goals(made_up(**NGINX_AND_US))}
    call, large = found["call, 0.7 KB, no key"], found["call, 40 KB"]
    assert call.measured == large.measured == pytest.approx(0.75)
    assert (call.holds, large.holds) == ("yes, and the next one", "no, 1.5 times as much")
    assert found["memory per idle stream"].measured == 4
    assert found["call, 0.7 KB, two workers"].holds == "not measured"
    watched = made_up(**NGINX_AND_US)
    for one in watched:
        one.watched["calls"] = [live.Pair(100, 110, 3), live.Pair(200, 202, 6)]
    [viewers] = [goal for goal in goals(watched) if goal.text.startswith("call, 200 cells")]
    assert viewers.measured == pytest.approx(1.055)
    assert "(95 %: 1.01 to 1.10; the thread that reads for them: 1.029)" in viewers.text
    assert viewers.holds == "no, 1.0 times as much"


def test_a_report_is_put_between_the_markers_of_its_page(tmp_path: Path) -> None:
    """The rest of the page stays, what is not there is named, and the picture has a bar for each contender."""
    rounds, page = made_up(**NGINX_AND_US), tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nformer\n{END}\nafter\n")
    write(page, report(rounds, "a machine"))
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\na machine")
    assert text.endswith(f"{END}\nafter\n")
    assert "former" not in text
    assert "| Portkey | not installed |" in text
    assert "| cab, TLS listener | not installed |" in text
    assert "| nginx | 30 | 1,000 | 30 | 30 | 0.03 / 0.03 |" in text
    assert plot(rounds).count("<rect") == 3 + 3 + 3 + 3
    page.write_text(f"{END} {BEGIN}")
    with pytest.raises(ValueError, match="does not have"):
        write(page, "")


def test_the_guard_fails_above_its_bound(capsys: pytest.CaptureFixture[str]) -> None:
    """A ratio at its bound is allowed; one far below asks for a lower bound."""
    rounds = made_up(bare=20, cab=60)
    assert guard.judge(rounds, {"call": 3}) == 0
    assert guard.judge(rounds, {"call": 2.9}) == 1
    assert "lower the bound" not in capsys.readouterr().out
    assert guard.judge(rounds, {"call": 7}) == 0
    assert "lower the bound" in capsys.readouterr().out


def test_growth_is_seen_through_noise_and_a_first_rise() -> None:
    """Caches that fill up, and one slow moment, are no growth; a leak is."""
    steady = [Sample(s, min(100, 50 + 10 * s), 40, 900 if s == 70 else 5) for s in range(90)]
    assert [growth.grown for growth in growths(steady)] == [0, 0, 0]
    leaking = [sample._replace(memory_mb=100 + sample.at_s) for sample in steady]
    memory = growths(leaking)[0]
    assert memory.per_hour == pytest.approx(3600)
    assert memory.is_real
    for each_s, is_real in ((1, False), (3, True)):
        lags = (90 if s < 15 else 5 + max(0, s - 30) * each_s for s in range(90))
        crowded = [s._replace(lag_ms=lag) for s, lag in zip(steady, lags, strict=True)]
        assert growths(crowded)[2].is_real is is_real
    assert soak.slope([(0, 1), (1, 1), (1, 5), (2, 1)]) == 0
