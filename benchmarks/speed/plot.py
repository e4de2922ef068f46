"""The processor time of all contenders as bars."""

from html import escape

from benchmarks.speed.rounds import Rounds, cpu_us

_PANELS = {
    "call": "call, 0.7 KB",
    "call with ids": "call, 0.7 KB, ids in every head",
    "call of 40 KB": "call, 40 KB",
    "streams": "event, 500 streams x 50/s",
}
_WIDTH, _NAMES, _BAR, _ROW, _TITLE = 720, 170, 430, 20, 34
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.t{font-weight:bold}.o{fill:#c0504d}.n{fill:#7f8fa9}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


def plot(rounds: Rounds) -> str:
    """Return an SVG picture: a panel for each kind of load, a bar for each contender."""
    parts, y = [], 0
    for case, title in _PANELS.items():
        names = dict.fromkeys(name for one in rounds for name in one.measured.get(case, {}))
        known = {n: v for n in names if (v := rounds.value(case, n, cpu_us)) is not None}
        if not known:
            continue
        parts.append(f'<text class="t" x="4" y="{y + 22}">{title}: processor time, µs</text>')
        y += _TITLE
        for name, value in known.items():
            parts.append(_bar(name, value, value / max(known.values()), y))
            y += _ROW
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 8}" role="img"'
        f' aria-label="Processor time per call and per event">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _bar(name: str, value: float, share: float, y: int) -> str:
    width = max(1, round(_BAR * share))
    kind = "o" if name.startswith("cab") else "n"
    return (
        f'<text x="{_NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{kind}" x="{_NAMES}" y="{y + 2}" width="{width}" height="14"/>'
        f'<text x="{_NAMES + width + 6}" y="{y + 13}">{value:,.0f}</text>'
    )
