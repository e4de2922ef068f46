"""Writes what a command spent into the job's summary, and as a comment of the pull request.

It reads METER_JSON, a file of `cab meter --json`, with the standard library alone. A comment of an earlier
run of the same name is replaced. Unknown numbers are called so.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen


def number(value: int | None) -> str:
    """Return a count for people."""
    return "unknown" if value is None else f"{value:,}"


def dollars(value: str | None) -> str:
    """Return an amount for people."""
    return "unknown" if value is None else f"{float(value):.4f}"


def code(model: str | None) -> str:
    """Return a name that somebody else chose, as code: it mentions nobody, and breaks no table."""
    return f"`{(model or 'unknown').translate({ord(c): ' ' for c in '`|' + chr(10)})}`"


def text(spent: dict[str, Any], name: str) -> str:
    """Return the comment: a row per model, and the sum."""
    lines = [
        f"### {name}: {number(spent['tokens']['total'])} tokens, $ {dollars(spent['cost_usd'])}",
        "",
        "| model | calls | prompt | cached | completion | cost, $ |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    every = {**spent, "model": "all"}
    for each in [*spent["models"], *([every] if len(spent["models"]) != 1 else [])]:
        tokens = [number(each["tokens"][n]) for n in ("prompt", "cache_read", "completion")]
        cells = (code(each["model"]), number(each["calls"]), *tokens, dollars(each["cost_usd"]))
        lines.append(f"| {' | '.join(cells)} |")
    failed, seconds = spent["failed_calls"], spent["wall_ms"] / 1000
    lines += ["", f"{failed} failed, {seconds:.1f} s, exit code {spent['exit_code']}."]
    return "\n".join(lines) + "\n"


def ask(method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    """Return the answer of GitHub's API."""
    request = Request(
        os.environ["GITHUB_API_URL"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "User-Agent": "cab"},
        method=method,
    )
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def comment(body: str, mark: str) -> None:
    """Write the comment, in place of the one that has the same mark."""
    place = f"/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    comments = f"{place}/{os.environ['METER_PULL_REQUEST']}/comments"
    page, found = 1, None
    while found is None and (listed := ask("GET", f"{comments}?per_page=100&page={page}")):
        found = next((each["id"] for each in listed if each["body"].startswith(mark)), None)
        page += 1
    if found is None:
        ask("POST", comments, {"body": body})
    else:
        ask("PATCH", f"{place}/comments/{found}", {"body": body})


def main() -> int:
    """Return 0; a comment that cannot be written is a warning, as the command has run."""
    data = Path(os.environ["METER_JSON"]).read_bytes()
    if not data:
        return 0  # the command was not started; cab meter has said why
    name = os.environ["METER_NAME"]
    body = text(json.loads(data), name)
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a") as summary:
        summary.write(body)
    if os.environ["METER_COMMENT"] == "true" and os.environ["METER_PULL_REQUEST"]:
        mark = f"<!-- cab meter: {name} -->\n"
        try:
            comment(mark + body, mark)
        except OSError as error:  # HTTP errors too
            sys.stdout.write(f"::warning::cab meter: the comment was not written: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
