"""A proxy of its own, between cells and their endpoint, is killed in the middle: every cell once, every call once."""

import signal
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from urllib.parse import urlsplit

from cab.proxy.auth.signing_keys import new_signing_key
from cab.scoring.cells.result_record import verify_bundle
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.totals import is_model_call
from cab.scoring.ledger.verify import verify_ledger
from tests.adapters.light_task import light_task
from tests.adapters.sweeps.executors.held import FOLDER
from tests.adapters.sweeps.executors.heldsweep import AGENT, HeldSweep, until
from tests.adapters.sweeps.processes import account_of, environment
from tests.adapters.toyagents import alive
from tests.tools.commands import StartedCommand, start_command


class OwnProxy:
    """A `cab-proxy` that can be killed and started again on its port.

    Args:
        folder: Where its ledger lies.
        upstream: The model server.
        auth: Who may call.
    """

    def __init__(self, folder: Path, upstream: str, auth: str) -> None:
        self.ledger = folder / "ledger"
        self.signing_key = new_signing_key()
        self._words = ["--upstream", upstream, "--ledger", str(self.ledger), "--auth", auth]
        self._running = ExitStack()
        self.process, self.url = self._start(0)

    def _start(self, port: int) -> tuple[StartedCommand, str]:
        process = self._running.enter_context(
            start_command(
                *("cab-proxy", *self._words, "--port", str(port), "--log-level=error"),
                env={**environment(), "CAB_SIGNING_KEY": self.signing_key},
                stdout=PIPE,
            )
        )
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill it as `kill -9` does, or end it in order."""
        self.process.send_signal(how)
        self.process.wait()
        self._running.close()

    def start_again(self) -> None:
        """Start it where it was."""
        self.process, url = self._start(urlsplit(self.url).port or 0)
        assert url == self.url

    def call_ids(self) -> list[str]:
        """Return the endpoint's ids of the calls in its ledger, which must hold."""
        assert verify_ledger(self.ledger).holds
        return sorted(
            end.upstream_id or "" for end in iter_calls(self.ledger) if is_model_call(end)
        )


@contextmanager
def own_proxy(folder: Path, upstream: str, auth: str) -> Generator[OwnProxy]:
    proxy = OwnProxy(folder, upstream, auth)
    try:
        yield proxy
    finally:
        proxy.end()


def served(demo: str) -> list[str]:
    """Return the ids of the calls that a model server says it answered."""
    return sorted(call["id"] for call in account_of(demo)["by_call"])


def test_of_cells(tmp_path: Path, demo: str) -> None:
    """Cells on a node call its proxy: they go on with the one that is started again."""
    held = tmp_path / "held"
    held.mkdir()
    with own_proxy(tmp_path, demo, "keys") as proxy, ExitStack() as stack:
        words = ["run-cell", "--tui", AGENT, "--model=demo", "--task", light_task()]
        words += ["--proxy", proxy.url]
        env = {**environment(), FOLDER: str(held), "CAB_SIGNING_KEY": proxy.signing_key}
        cells = [
            stack.enter_context(
                start_command(
                    "cab",
                    *(*words, "--runs", str(tmp_path / "runs"), f"--run={run}"),
                    env=env,
                    stdout=DEVNULL,
                    stderr=PIPE,
                )
            )
            for run in (1, 2)
        ]
        until(lambda: len(list(held.glob("*.pid"))) == 2, "no two agents")
        agents = [int(file.stem) for file in held.glob("*.pid")]
        proxy.end()
        proxy.start_again()
        (held / "go").touch()
        said = [cell.communicate(timeout=120)[1] for cell in cells]
        proxy.end(signal.SIGTERM)

    assert [cell.returncode for cell in cells] == [0, 0], said
    bundles = sorted(file.parent for file in (tmp_path / "runs").rglob("cell.json"))
    assert len(bundles) == 2
    assert all(verify_bundle(bundle).holds for bundle in bundles)
    in_bundles = [end for bundle in bundles for end in iter_calls(bundle / "calls.jsonl")]
    assert sorted(end.upstream_id or "" for end in in_bundles) == proxy.call_ids() == served(demo)
    assert len(in_bundles) == 4
    assert not any(map(alive, agents))


def test_of_a_sweep(tmp_path: Path, demo: str) -> None:
    """A sweep whose endpoint is a team's proxy outlives it; a call that the proxy was not there for has failed, once."""
    keys = "runs = 2\njobs = 2\n"
    with own_proxy(tmp_path, demo, "open") as proxy:
        sweep = HeldSweep(tmp_path, proxy.url, 'kind = "local"\n', {}, keys)
        with sweep.running() as process:
            pids = sweep.wait_for_agents(2)
            proxy.end()
            sweep.let_go()
            until(lambda: not any(map(alive, pids)), "agents do not end")
            proxy.start_again()
            _, err = process.communicate(timeout=120)
        proxy.end(signal.SIGTERM)

    assert process.returncode == 0, err
    calls = [end for end in iter_calls(sweep.folder / "ledger") if is_model_call(end)]
    answered = sorted(end.upstream_id for end in calls if end.upstream_id)
    assert answered == proxy.call_ids() == served(demo)
    assert (len(calls), len(answered)) == (4, 2)
    assert verify_ledger(sweep.folder / "ledger").holds
    assert len(list((sweep.folder / "runs").rglob("cell.json"))) == 2
    sweep.wait_until_gone(pids)
