"""What the examining process prints: a JSON line for each probe."""

import asyncio
from collections.abc import Iterator, Sequence

import orjson

from cab.adapters.doctor.examine import ExamineRequest, examine
from cab.adapters.doctor.isolation.overlay import Overlay
from cab.adapters.doctor.probes import PROBES
from cab.adapters.errors import AdapterError
from cab.proxy.errors import CabProxyError


def evidence_lines(arguments: Sequence[str], overlay: Overlay | None) -> Iterator[bytes]:
    """Examine an agent; yield a line when a probe has shown something, or why it could not be run.

    Args:
        arguments: The agent, the dialect or an empty text, the limit of a run in seconds, the probes.
        overlay: The folders around the runs, where this process has namespaces of its own.
    """
    agent, dialect, limit_s, *names = arguments
    request = ExamineRequest(agent, dialect or None, float(limit_s))
    for name in names:
        try:
            shown = asyncio.run(examine(request, PROBES[name], overlay))
            line = {"probe": name, "evidence": shown.model_dump(mode="json")}
        except (AdapterError, CabProxyError, OSError) as error:
            line = {"probe": name, "broken": " ".join(str(error).split())}
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
