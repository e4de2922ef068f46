"""What the proxy is to cost at most, and what it costs."""

from typing import NamedTuple

from benchmarks.speed.live import interval
from benchmarks.speed.rounds import Rounds, cpu_us, latency, median


class Goal(NamedTuple):
    """One goal and what was measured of it."""

    text: str
    measured: float | None
    """None if it was not measured."""
    unit: str
    must: float
    then: float | None

    @property
    def holds(self) -> str:
        """Whether it is reached, in words."""
        if self.measured is None:
            return "not measured"
        if self.measured > self.must == 0:
            return "no"
        if self.measured > self.must:
            return f"no, {self.measured / self.must:.1f} times as much"
        return "yes" if self.then is None or self.measured > self.then else "yes, and the next one"


def goals(rounds: Rounds) -> list[Goal]:
    """Return all goals, each against nginx in the same rounds where it is a ratio."""
    lua, idle = "nginx + Lua", rounds.value("idle", "cab", lambda m: m.memory_bytes)
    streams = len(rounds) and rounds[0].measured.get("idle", {}).get("cab")
    each_kb = idle / streams.answers / 1024 if streams and idle is not None else None
    call = rounds.ratio("call", "cab", lua, cpu_us)
    keyed = rounds.ratio("call with ids", "cab, keys", lua, cpu_us)
    large = rounds.ratio("call of 40 KB", "cab", lua, cpu_us)
    two = rounds.ratio("call", "cab, 2 workers", "cab", cpu_us)
    event = rounds.ratio("streams", "cab", "nginx", cpu_us)
    burst = rounds.ratio("burst", "cab", "nginx", latency(0.5))
    p50, p99 = (rounds.added("staggered", "cab", latency(share)) for share in (0.5, 0.99))
    start_s = median(one.start_s.get("cab") for one in rounds)
    trips = median(one.round_trips.get("cab, 2 workers") for one in rounds)
    return [
        Goal("call, 0.7 KB, no key", call, "x Lua", 1.6, 1.0),
        Goal("the same with key, limits, log line and new ids in every head", keyed, "x Lua", 2.2, 1.3),
        Goal("call, 40 KB", large, "x Lua", 0.5, 0.3),
        Goal("SSE event, 500 streams x 50/s", event, "x nginx", 1.35, 1.15),
        Goal("added TTFT, 100 staggered streams, p50", p50, "ms", 1.2, 0.7),
        Goal("added TTFT, 100 staggered streams, p99", p99, "ms", 5, None),
        Goal("500 streams starting together, TTFT p50", burst, "x nginx", 2, None),
        Goal("call, 0.7 KB, two workers", two, "x one worker", 1.1, None),
        Goal("round trips between processes on a call's path, two workers", trips, "", 0, None),
        _watched(rounds, "calls", "call, 200 cells"),
        _watched(rounds, "streams", "SSE event, 200 cells"),
        Goal("memory per idle stream", each_kb, "KB", 8, None),
        Goal("start to open port, small ledger", start_s, "s", 0.6, None),
    ]  # fmt: skip


def _watched(rounds: Rounds, load: str, what: str) -> Goal:
    """Return what two viewers may cost; the interval says how sure that is."""
    pairs = [pair for one in rounds for pair in one.watched.get(load, [])]
    ratio, feed = (
        interval([getattr(pair, name) for pair in pairs]) for name in ("ratio", "feed_ratio")
    )
    text = f"{what}, with two viewers of the live view"
    if ratio is None or feed is None:
        return Goal(text, None, "x without", 1.05, None)
    text += f" (95 %: {ratio.low:.2f} to {ratio.high:.2f}; the thread that reads for them: {feed.median:.3f})"
    return Goal(text, ratio.median, "x without", 1.05, None)
