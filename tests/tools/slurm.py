"""A real Slurm on this machine: munged, slurmctld and two slurmd below a folder, without a service manager."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.tools.ports import free_port

NODES = ("n1", "n2")
PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "srun",
    "sbatch",
    "scancel",
    "squeue",
    "sinfo",
    "scontrol",
)
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_CONFIG = """\
ClusterName=cab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={control}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=10
InactiveLimit=0
KillWait=2
MaxArraySize=1001
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=4 RealMemory=4000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=cells Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """Two nodes and their controller, each daemon a child of this process.

    Args:
        folder: Where all of it lies; short, as it holds a socket.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        control, n1, n2 = free_port(), free_port(), free_port()
        host = socket.gethostname().partition(".")[0]
        names = {"host": host, "folder": folder, "control": control, "n1": n1, "n2": n2}
        (folder / "slurm.conf").write_text(_CONFIG.format_map(names))
        for name in ("state", "spool-n1", "spool-n2"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What its commands need."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _PATH}

    def start(self, name: str) -> None:
        """Start a daemon: `munged`, `slurmctld`, `n1` or `n2`."""
        munge = [f"--{each}={self.folder}/munge.{each}" for each in ("socket", "seed")]
        munge += [f"--key-file={self.folder}/munge.key", f"--pid-file={self.folder}/munge.pid"]
        words = {
            "munged": ["munged", "--foreground", "--force", *munge],
            "slurmctld": ["slurmctld", "-D"],
        }.get(name, ["slurmd", "-N", name, "-D"])
        log = (self.folder / f"{name}.out").open("ab")
        env = {**os.environ, **self.environment}
        self._daemons[name] = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
        )
        log.close()

    def kill(self, name: str) -> None:
        """Kill a daemon without a word to it; slurmctld once it has written down which jobs there are."""
        if name == "slurmctld":
            self._save_state()
        self._daemons[name].kill()
        self._daemons[name].wait()

    def _save_state(self) -> None:
        """Return when the state on disk is of now: slurmctld writes it every 5 s, and would take old jobs for new ones."""
        file = self.folder / "state/job_state"
        before_ns = file.stat().st_mtime_ns if file.exists() else 0
        self.ask("scontrol", "reconfigure")  # writes all of it
        end_s = time.monotonic() + 30
        while not file.exists() or file.stat().st_mtime_ns == before_ns:
            if time.monotonic() > end_s:
                raise TimeoutError("slurmctld does not write its state")
            time.sleep(0.02)

    def ask(self, *words: str) -> str:
        """Return what one of its commands prints; empty if it fails."""
        env = {**os.environ, **self.environment}
        done = subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def queue(self) -> list[str]:
        """Return the jobs that are queued, run, or are being completed: id, state, node and name."""
        return self.ask("squeue", "--noheader", "--format=%A %T %N %j").splitlines()

    def wait_until_idle(self, limit_s: float = 60) -> None:
        """Return when both nodes are free and the queue is empty."""
        end_s = time.monotonic() + limit_s
        while self.ask("sinfo", "-h", "-t", "idle", "-o", "%D").split() != ["2"] or self.queue():
            if time.monotonic() > end_s:
                text = self.ask("sinfo") + "\n".join(self.queue())
                raise TimeoutError(f"the cluster is not idle: {text}")
            time.sleep(0.05)

    def repair(self) -> None:
        """Bring back what was killed, and wait until all is free."""
        for name, daemon in self._daemons.items():
            if daemon.poll() is not None:
                self.start(name)
        self.ask("scancel", "--user=root")
        for node in NODES:
            # A job whose slurmstepd was killed would be completing for minutes.
            self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=repair")
            self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        self.wait_until_ready()

    def wait_until_ready(self, limit_s: float = 60) -> None:
        """Return when each node has run something: one that is idle by name may be one that does not answer."""
        self.wait_until_idle(limit_s)
        end_s = time.monotonic() + limit_s
        for node in NODES:
            probe = (
                "srun",
                "-Q",
                "-n1",
                "--mem=10",
                "--immediate=5",
                f"--nodelist={node}",
                "echo",
                "ready",
            )
            while self.ask(*probe).split() != ["ready"]:
                if time.monotonic() > end_s:
                    raise TimeoutError(f"node {node} runs nothing: {self.ask('sinfo', '-R')}")
        self.wait_until_idle(limit_s)

    def stop(self) -> None:
        """End the daemons and what they run."""
        with suppress(subprocess.TimeoutExpired):
            self.ask("scancel", "--user=root")
        for name in ("n1", "n2", "slurmctld", "munged"):
            daemon = self._daemons.get(name)
            if daemon is not None and daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


def why_not() -> str | None:
    """Return why Slurm cannot be started here; None if it can be tried."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"{missing[0]} is missing: apt-get install slurm-wlm munge"
    return "Slurm's daemons are started as root here" if os.geteuid() else None


@contextmanager
def running_cluster() -> Generator[Cluster]:
    """Run a cluster while the block runs; where none can be started, skip, and in CI fail."""
    reason = why_not()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="cab-slurm-", ignore_cleanup_errors=True) as name:
        cluster = Cluster(Path(name))
        try:
            cluster.start("munged")
            while not (cluster.folder / "munge.socket").exists():
                time.sleep(0.02)
            for daemon in ("slurmctld", *NODES):
                cluster.start(daemon)
            cluster.wait_until_ready()
            yield cluster
        finally:
            cluster.stop()
