"""Prints what the real `inspect_ai` finds in logs; a process of its own, for its imports warn."""

import json
import sys
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalLog,
    read_eval_log,
    read_eval_log_sample,
    read_eval_log_sample_summaries,
    read_eval_log_samples,
    write_eval_log,
)


def seen(path: str) -> dict[str, Any]:
    """Return what a log holds, read in all the ways that Inspect has."""
    log = read_eval_log(path)
    header = read_eval_log(path, header_only=True)
    samples = [sample.model_dump(mode="json") for sample in log.samples or []]
    first = samples[0]
    alone = read_eval_log_sample(path, id=first["id"], epoch=first["epoch"])
    whole = header.status == "success"
    summaries = read_eval_log_sample_summaries(path)
    return {
        "header": header.model_dump(mode="json"),
        "reductions": [one.model_dump(mode="json") for one in log.reductions or []],
        "samples": samples,
        "alone_is_the_same": alone.model_dump(mode="json") == first,
        "streamed": [sample.uuid for sample in read_eval_log_samples(path, whole)],
        "summaries": [summary.model_dump(mode="json") for summary in summaries],
        "written_again_is_the_same": written_again(log, Path(path)),
    }


def written_again(log: EvalLog, path: Path) -> bool:
    """Return whether Inspect's own writing of the log reads the same."""
    again = str(path.with_name("again.eval"))
    write_eval_log(log, again)
    return read_eval_log(again).model_dump() == log.model_dump()


if __name__ == "__main__":
    json.dump([seen(path) for path in sys.argv[1:]], sys.stdout)
