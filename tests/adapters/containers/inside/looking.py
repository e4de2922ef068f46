"""A task whose hidden check says what it sees as the user that checks run as."""

from pathlib import Path

LOOK = r"""
import json, os, sys
from pathlib import Path

def done(act):
    try:
        act()
    except OSError as error:
        return error.strerror
    return "done"

def readable(name):
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += bool((entry / name).read_bytes())
            except OSError:
                pass
    return found

suite = Path("/opt/cab/lib").glob("python3*/site-packages/cab/adapters/suite")
bundle = Path("/runs/local/intruder/demo/test/look")
print(json.dumps({
    "uid": os.getuid(),
    "environments": readable("environ"),
    "planted": os.path.exists("/tmp/planted"),
    "bundle": done(lambda: list(bundle.iterdir())),
    "answers": [done(lambda: list(each.iterdir())) for each in suite],
    "root": done(lambda: os.setuid(0)),
    "key": [name for name in os.environ if "KEY" in name],
    "made": done(lambda: Path("made").write_text("by the check")),
}))
"""


def write_task(folder: Path) -> None:
    """Write the task into `folder/test/look`."""
    root = folder / "test" / "look"
    for name in ("workspace", "checks"):
        (root / name).mkdir(parents=True)
    (root / "workspace" / "given.txt").write_text("given\n")
    (root / "checks" / "look.py").write_text(LOOK)
    (root / "prompt.md").write_text("Look around.\n")
    (root / "task.toml").write_text(
        'schema = "cab.task/1"\nid = "test/look"\ncategory = "test"\n'
        'prompt = "Look around."\nexpected_changes = ["**"]\n\n[check]\n'
        'command = ["{python}", "-B", "look.py"]\ntimeout_s = 60\n'
    )
