"""Verifies a ledger of plain segments by docs/ledger.md alone: ledger_verifier.py FOLDER [HEAD]."""

import hashlib
import json
import re
import sys
from pathlib import Path


def line_holds(line: bytes, digest: str) -> bool:
    try:
        record = json.loads(line)
        last = list(record)[-2:]
    except (ValueError, TypeError):
        return False
    return last == ["prev", "hash"] and line[-75:] == b',"hash":"%b"}' % digest.encode()


def faults(folder: Path, head: str | None = None) -> list[str]:
    names = {tuple(map(int, re.findall(r"\d+", p.stem))): p for p in folder.glob("w*-*.jsonl")}
    found, prevs, places = [] if names else ["no segment"], dict[int, str](), dict[int, int]()
    for (worker, number), path in sorted(names.items()):
        places[worker] = places.get(worker, 0) + 1
        if number != places[worker]:
            found.append(f"{path.name}: a segment before it is missing")
        *lines, rest = path.read_bytes().split(b"\n")
        if rest:
            found.append(f"{path.name}: the last line is torn")
        for at, line in enumerate(lines, 1):
            digest = hashlib.sha256(line[:-75] + b"}").hexdigest()
            if not line_holds(line, digest):
                found.append(f"{path.name}:{at}: is not what its hash says")
            elif json.loads(line)["prev"] != prevs.get(worker, "0" * 64):
                found.append(f"{path.name}:{at}: does not follow the line before")
            prevs[worker], head = digest, None if digest == head else head
    return [*found, f"no line has the head {head}"] if head else found


if __name__ == "__main__":
    sys.exit("\n".join(faults(Path(sys.argv[1]), *sys.argv[2:])))
