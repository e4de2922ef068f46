"""How far our counts are from the usage that endpoints report, over recorded calls.

    python benchmarks/count_error.py FOLDER... [--by-family]

reads VCR cassettes and JSON lines of {"endpoint", "request", "response"} (and "path" for Gemini, where
the model is there), passes each call through the proxy's meter, counts it as the proxy would if
the endpoint had reported nothing, and compares. It prints, per dialect and on demand per family of
models: the number of calls, the relative error of a call (median, 90th percentile, largest), and the
bias, which is the error of the sum; then what could not be compared, and why. Nothing of the
recordings is kept or printed.
"""

import argparse
import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from recordings import Recorded, recordings

from cab.proxy.meter import CallMeter, Dialect, Outcome, Usage, dialect_for
from cab.proxy.meter.json_values import JsonObject, as_list, as_object
from cab.proxy.tokens.model_families import encoding_of, name_of
from cab.proxy.tokens.prompt_readers import read_prompt
from cab.proxy.tokens.usage import CountedCall

FEWEST = 10
"""A family with fewer calls in a dialect is not shown by itself."""

WHY = {
    "media": "images, sounds or files",
    "reasoning": "hidden reasoning",
    "tools": "tools that the endpoint defines or runs",
    "state": "state that the endpoint keeps",
}


class Pair(NamedTuple):
    """A count of ours beside the endpoint's."""

    ours: int
    theirs: int


class Compared(NamedTuple):
    """A recorded call: two pairs, or in their place why they cannot be compared."""

    dialect: str
    family: str
    prompt: Pair | str
    completion: Pair | str


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="where the recordings are")
    parser.add_argument("--by-family", action="store_true", help="a row for each family as well")
    options = parser.parse_args()
    left_out: Counter[str] = Counter()
    calls = list(compared(options.folders, left_out))
    show(calls, by_family=options.by_family)
    show_left_out(calls, left_out)


def compared(folders: list[Path], left_out: Counter[str]) -> Iterator[Compared]:
    seen: set[bytes] = set()
    for call in recordings(folders, left_out):
        dialect = dialect_for("POST", call.path)
        digest = hashlib.sha256(call.request + b"\0" + call.response).digest()
        if dialect is None:
            left_out["other requests"] += 1
        elif digest in seen:
            left_out["the same call once more"] += 1
        elif call.status >= 400 or not call.request:
            left_out["errors, and calls without a body"] += 1
        else:
            seen.add(digest)
            result = compare(dialect, call)
            if result is None:
                left_out["calls without usage"] += 1
            else:
                yield result


def compare(dialect: Dialect, call: Recorded) -> Compared | None:
    """Return our counts beside the endpoint's, `None` if it reports none."""
    meter = CallMeter(dialect, call.path, call.request)
    outcome = metered(meter, call, call.content_encoding)
    if outcome.usage is None and call.content_encoding:
        # Many recorders undo the encoding and keep the header.
        outcome = metered(meter, call, "")
    usage, request = outcome.usage, outcome.request_json
    if usage is None or request is None:
        return None
    model = outcome.model_served or meter.request.model or ""
    counted = CountedCall(dialect.name, model, encoding_of(model), outcome)
    missing = read_prompt(dialect.name, request).uncounted
    reason = " and ".join(WHY[part] for part in sorted({*missing}))
    return Compared(
        dialect=dialect.name,
        family=name_of(model),
        prompt=reason or prompt_pair(counted, usage),
        completion=unseen(outcome, usage, request, tools="tools" in missing)
        or Pair(counted.count_completion(never_cancelled), usage.completion_tokens or 0),
    )


def metered(meter: CallMeter, call: Recorded, content_encoding: str) -> Outcome:
    meter.start(call.status, call.content_type, content_encoding, None)
    meter.feed(call.response, 0)
    meter.finish(0)
    return meter.outcome()


def prompt_pair(call: CountedCall, usage: Usage) -> Pair | str:
    ours, _ = call.count_prompt(never_cancelled)
    if not usage.prompt_tokens:
        return "no prompt tokens reported"
    return Pair(ours or 0, usage.prompt_tokens)


def unseen(outcome: Outcome, usage: Usage, request: JsonObject, *, tools: bool) -> str | None:
    """Return why the answer's texts are not all that was written, `None` if they are."""
    details = as_list((outcome.usage_raw or {}).get("candidatesTokensDetails"))
    thinks = request.get("thinking") not in (None, {"type": "disabled"})
    reasons = (
        (not usage.completion_tokens, "no completion tokens reported"),
        (usage.reasoning_tokens or thinks, WHY["reasoning"]),
        (request.get("context_management"), WHY["state"]),
        (tools, WHY["tools"]),
        (outcome.usage_status != "complete", "usage reported before the end"),
        (any(as_object(detail).get("modality") != "TEXT" for detail in details), WHY["media"]),
        (not outcome.completion_texts, "an answer without text"),
    )
    return next((why for holds, why in reasons if holds), None)


def never_cancelled() -> None:
    pass


def show(calls: list[Compared], *, by_family: bool) -> None:
    groups: defaultdict[tuple[str, str], list[Compared]] = defaultdict(list)
    for call in calls:
        groups[call.dialect, ""].append(call)
        if by_family:
            groups[call.dialect, call.family].append(call)
    print("| dialect | family | prompts | median | p90 | max | bias "
          "| completions | median | p90 | max | bias |")  # fmt: skip
    print("|---|---|" + "--:|" * 10)
    for (dialect, family), group in sorted(groups.items()):
        prompts = [call.prompt for call in group if isinstance(call.prompt, Pair)]
        completions = [call.completion for call in group if isinstance(call.completion, Pair)]
        if not family or len(prompts) >= FEWEST:
            cells = [dialect, family or "all", *numbers(prompts), *numbers(completions)]
            print(f"| {' | '.join(cells)} |")


def numbers(pairs: list[Pair]) -> list[str]:
    if not pairs:
        return ["0", "", "", "", ""]
    errors = sorted(abs(pair.ours - pair.theirs) / pair.theirs for pair in pairs)
    theirs = sum(pair.theirs for pair in pairs)
    bias = (sum(pair.ours for pair in pairs) - theirs) / theirs
    p90 = errors[min(len(errors) - 1, round(0.9 * (len(errors) - 1)))]
    shares = (statistics.median(errors), p90, errors[-1])
    return [str(len(pairs)), *(f"{share:.1%}" for share in shares), f"{bias:+.1%}"]


def show_left_out(calls: list[Compared], left_out: Counter[str]) -> None:
    prompts = Counter(call.prompt for call in calls if isinstance(call.prompt, str))
    completions = Counter(call.completion for call in calls if isinstance(call.completion, str))
    print("\n| left out | prompts | completions |\n|---|--:|--:|")
    for why in sorted({*prompts, *completions}):
        print(f"| {why} | {prompts[why]} | {completions[why]} |")
    for why, number in sorted(left_out.items()):
        print(f"| {why} | {number} | {number} |")


if __name__ == "__main__":
    main()
