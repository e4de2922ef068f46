"""Agents that misbehave on purpose, as adapters: given by dotted path, as anybody's own would be."""

import json
import os
import select
import sys
from pathlib import Path

from cab.adapters.agents.base import AgentFacts, Launch, Output, RunContext
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
pids = [os.getpid()]
pids.append(subprocess.Popen([sys.executable, "-c", child]).pid)
pids.append(subprocess.Popen([sys.executable, "-c", child], start_new_session=True).pid)
scrubbed = {"PATH": os.environ["PATH"]}
pids.append(subprocess.Popen([sys.executable, "-c", child], start_new_session=True, env=scrubbed).pid)
if os.fork() == 0:  # a daemon: its parent has gone, its session is its own
    os.setsid()
    if os.fork():
        os._exit(0)
    pids[0] = os.getpid()
    with open(sys.argv[1], "w") as ready:
        ready.write(" ".join(map(str, pids)))
    time.sleep(600)
time.sleep(600)
"""

DAEMON = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""

NOSY = """
import json, os, sys
from pathlib import Path
everything = dict(os.environ)
key = everything["AGENT_KEY"]
Path("environment.json").write_text(json.dumps(everything))
Path("source.txt").write_text("the key is " + key)
sys.stdout.write(f"on stdout {key}\\n")  # in one piece: the two streams meet in the recording
sys.stdout.flush()
sys.stderr.write(f"on stderr {key}\\n")
"""


def script(code: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a Python program."""
    return (sys.executable, "-I", "-c", code, *arguments)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be asked for its exit code does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def gone(pid: int, limit_s: float = 60) -> bool:
    """Wait until a process has ended; False if it still runs after that time.

    What another process kills ends a moment after the signal, and after its files are closed.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(process):
        return bool(select.select([process], [], [], limit_s)[0])


class _Agent:
    name = "agent"
    code = ""
    wants_git = False
    scratch: tuple[str, ...] = ()

    @property
    def facts(self) -> AgentFacts:
        return AgentFacts(
            *(self.name, "1", ("chat.completions",)),
            scratch=self.scratch,
            wants_git=self.wants_git,
        )

    def launch(self, run: RunContext) -> Launch:
        return Launch(script(self.code), {"AGENT_KEY": run.key, "AGENT_URL": run.base_url})

    def self_report(self, output: Output) -> SelfReport | None:
        del output
        return None


class Nosy(_Agent):
    """Writes down and prints all it can see."""

    name = "nosy"
    code = NOSY
    wants_git = True


class Hanging(_Agent):
    """Never ends."""

    name = "hanging"
    code = "import time; print('hanging', flush=True); time.sleep(600)"


class Waiting(_Agent):
    """Writes to a pipe that it runs, and waits; without a pipe it ends at once."""

    name = "waiting"
    code = (
        "import os, sys, time\n"
        "if sys.argv[1]:\n"
        "    with open(sys.argv[1], 'w') as ready:\n"
        "        ready.write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
    )

    def launch(self, run: RunContext) -> Launch:
        del run
        return Launch(script(self.code, os.environ.get("TEST_READY", "")))


class Unending(Waiting):
    """Does so too, and ends for nothing but SIGKILL."""

    name = "unending"
    code = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{Waiting.code}"


class Deaf(_Agent):
    """Ends for nothing but SIGKILL."""

    name = "deaf"

    def launch(self, run: RunContext) -> Launch:
        del run
        return Launch(("/bin/sh", "-c", "trap '' TERM; sleep 600"))


class Lingering(Waiting):
    """Does so too, and holds the pipe open, as does a child in a session of its own."""

    name = "lingering"
    code = (
        "import os, subprocess, sys, time\n"
        "if sys.argv[1]:\n"
        "    ready = os.open(sys.argv[1], os.O_WRONLY)\n"
        "    child = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "    subprocess.Popen(child, pass_fds=[ready], start_new_session=True)\n"
        "    os.write(ready, b'%d\\n' % os.getpid())\n"
        "    time.sleep(600)\n"
    )


class Flooding(_Agent):
    """Prints far more than anybody reads."""

    name = "flooding"
    code = "for _ in range(400):\n    print('x' * 65535)\nprint('last words')\n"


class Failing(_Agent):
    """Prints a report that cannot be read, and fails."""

    name = "failing"
    code = "import sys; print('tokens: many'); sys.exit(3)"

    def self_report(self, output: Output) -> SelfReport | None:
        raise BadSelfReport(f"cannot be read: {output.stdout!r}")


class Unreadable(_Agent):
    """Keeps something that fails where it is read."""

    name = "unreadable"

    def self_report(self, output: Output) -> SelfReport | None:
        (output.home / "gone").read_text()
        return None


class Digger(_Agent):
    """Nests folders as deep as Python's own recursion never goes."""

    name = "digger"
    code = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n"


class Missing(_Agent):
    """A program that is not there."""

    name = "missing"

    def launch(self, run: RunContext) -> Launch:
        return Launch(("/nonexistent/agent", run.prompt))


class Ticket(_Agent):
    """Answers the ambiguous ticket without any model call."""

    name = "ticket"
    code = "from pathlib import Path; Path('CLARIFY.md').write_text('Which of the two?')"


class Incomplete:
    """Is not an adapter."""

    facts = json


class Broken:
    """Cannot even be made."""

    def __init__(self) -> None:
        raise RuntimeError("boom")


class Spoiler(_Agent):
    """Leaves what nobody can copy, and puts pipes where its own output is kept."""

    name = "spoiler"
    code = (
        "import os, socket\n"
        "os.mkfifo('pipe'); os.symlink('pipe', 'to-pipe'); os.symlink('/', 'to-root')\n"
        "socket.socket(socket.AF_UNIX).bind('socket')\n"
        "os.mkdir('locked'); open('locked/file', 'w').close(); os.chmod('locked', 0)\n"
        "os.truncate(os.open('huge', os.O_CREAT | os.O_WRONLY), 6 << 30)\n"
        "open(b'caf\\xe9\\n', 'w').close()\n"
        "os.mkdir('deep'); here = os.open('deep', os.O_RDONLY)\n"
        "for _ in range(300):\n"
        "    os.mkdir('d' * 200, dir_fd=here)\n"
        "    here, above = os.open('d' * 200, os.O_RDONLY, dir_fd=here), here\n"
        "    os.close(above)\n"
        "print('printed', flush=True)\n"
        "for name in ('stdout', 'stderr', 'recording.cast'):\n"
        "    os.unlink('../out/' + name); os.mkfifo('../out/' + name)\n"
        "import shutil, subprocess\n"
        "if shutil.which('chattr'):  # whether or not this user and this disk can do it\n"
        "    os.mkdir('frozen'); open('frozen/file', 'w').write('x')\n"
        "    names = ('frozen/file', 'frozen', '../out', '../home', '.')\n"
        "    subprocess.run(['chattr', '+i', *names], capture_output=True)\n"
    )


class Replacer(_Agent):
    """Puts a link to the whole machine in the place of its workspace."""

    name = "replacer"
    code = "import os; d = os.getcwd(); os.rename(d, d + '.old'); os.symlink('/', d)"


class Bulky(_Agent):
    """Leaves files that take a while to read."""

    name = "bulky"
    code = (
        "import os\n"
        "for n in range(4):\n"
        "    os.truncate(os.open(str(n), os.O_CREAT | os.O_WRONLY), 1 << 30)\n"
    )


class Untidy(_Agent):
    """Works, says where it is, and keeps a history of what it was asked."""

    name = "untidy"
    scratch = (".untidy*",)
    code = (
        "import json, os\n"
        "here, home = os.getcwd(), os.environ['HOME']\n"
        "open('made.txt', 'w').write(f'made in {here}\\n/root/stays\\n')\n"
        "open('.untidy.history', 'w').write(f'asked in {here}')\n"
        "print(f'working in {here}, at home in {home}')\n"
        "print(json.dumps({'text': f'open\\n{here}/made.txt\\n'}))\n"
    )
