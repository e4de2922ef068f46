"""What a run measured, as text for a page."""

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed.contenders import CONTENDERS
from benchmarks.speed.goals import goals
from benchmarks.speed.rounds import CASES, Rounds, cpu_us, delay, latency, median, per_second

BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
_Figure = Callable[[Rounds, str], str]


def _of(case: str, value: Callable[..., float | None], form: str = "{:,.0f}") -> _Figure:
    return lambda rounds, name: _text(rounds.value(case, name, value), form)


def _added(case: str) -> _Figure:
    def figure(rounds: Rounds, name: str) -> str:
        values = [rounds.added(case, name, latency(share)) for share in (0.5, 0.99)]
        return " / ".join(_text(value, "{:.2f}") for value in values)

    return figure


def _delays(rounds: Rounds, name: str) -> str:
    values = [rounds.value("streams", name, delay(share)) for share in (0.5, 0.99)]
    return " / ".join(_text(value, "{:.1f}") for value in values)


def _idle(rounds: Rounds, name: str) -> str:
    each = rounds.value("idle", name, lambda m: (m.memory_bytes or 0) / m.answers / 1024)
    return _text(each, "{:.1f}")


def _peak(rounds: Rounds, name: str) -> str:
    peak = median(one.peak_bytes.get(name) for one in rounds)
    return _text(peak and peak / (1 << 20), "{:.0f}")


CALLS: dict[str, _Figure] = {
    "0.7 KB, µs": _of("call", cpu_us),
    "calls/s": _of("call", per_second),
    "with ids, µs": _of("call with ids", cpu_us),
    "40 KB, µs": _of("call of 40 KB", cpu_us),
    "added ms, p50 / p99": _added("one connection"),
}
STREAMS: dict[str, _Figure] = {
    "event, µs": _of("streams", cpu_us, "{:.1f}"),
    "events/s": _of("streams", per_second),
    "event delay ms, p50 / p99": _delays,
    "added TTFT ms, staggered, p50 / p99": _added("staggered"),
    "TTFT ms, burst, p50": _of("burst", latency(0.5), "{:.1f}"),
    "KB per idle stream": _idle,
    "peak MB": _peak,
    "start, s": lambda rounds, name: _text(median(one.start_s.get(name) for one in rounds), "{:.2f}"),
}  # fmt: skip


def report(rounds: Rounds, machine: str) -> str:
    """Return the text that stands between the markers of a page."""
    answers = sum(one.answers for one in rounds)
    return "\n\n".join([
        machine,
        f"Rounds: {len(rounds)}; the figures are medians, ratios are taken within a round."
        f" Answers through the proxy: {answers:,}, each with its record; `cab ledger verify` held for every ledger.",
        _goals(rounds),
        "![Processor time per call and per event](performance.svg)",
        _table(rounds, CALLS),
        _table(rounds, STREAMS),
    ])  # fmt: skip


def machine(others: float) -> str:
    """Return what was measured on what, and what else ran there.

    Args:
        others: Share of the processors that other programs used.
    """
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    version = "not installed"
    if nginx:
        said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
        version = said.rpartition("/")[2].strip()
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, commit {commit or 'unknown'}; {os.cpu_count()} cores"
        f" ({model[1] if model else platform.machine()}), Linux {platform.release()}, Python"
        f" {platform.python_version()}, nginx {version}. Other programs used {max(0.0, others):.0%} of the"
        " processors during the run; where that is more than some percent, times are too long and ratios uncertain."
    )


def write(page: Path, text: str) -> None:
    """Put a text between the markers of a page.

    Raises:
        ValueError: The page does not have them.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} does not have {BEGIN} and {END}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _goals(rounds: Rounds) -> str:
    lines = ["| goal | measured | must | then | holds |", "|---|---:|---:|---:|---|"]
    for goal in goals(rounds):
        figures = (_text(value, "{:.2f}") for value in (goal.measured, goal.must, goal.then))
        measured, must, then = (
            f"{text} {goal.unit}".strip() if text != "-" else text for text in figures
        )
        lines.append(f"| {goal.text} | {measured} | {must} | {then} | {goal.holds} |")
    return "\n".join(lines)


def _table(rounds: Rounds, columns: dict[str, _Figure]) -> str:
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name in CONTENDERS:
        figures = [figure(rounds, name) for figure in columns.values()]
        if not _was_there(rounds, name):
            figures[0] = "not installed"
        elif not any(character.isdigit() for character in "".join(figures)):
            continue
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _was_there(rounds: Rounds, name: str) -> bool:
    return any(name in one.measured.get(case, {}) for one in rounds for case in CASES)


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
