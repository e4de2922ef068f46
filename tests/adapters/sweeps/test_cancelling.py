"""Single cells of a sweep that runs are ended from another process."""

from pathlib import Path

import pytest

from cab.adapters.cli import main
from tests.adapters.sweeps.executors.heldsweep import HeldSweep


def test_cancelled(tmp_path: Path, demo: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The cell that matches ends and is reported as stopped, the other one has its result; then nothing runs."""
    sweep = HeldSweep(tmp_path, demo, 'kind = "local"\n', {})
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        assert main(["sweep", str(sweep.file), "--cancel", "*#run9"]) == 2
        assert "matches no cell that runs; running: h/held/" in capsys.readouterr().err
        assert main(["sweep", str(sweep.file), "--cancel", "*#run2"]) == 0
        assert capsys.readouterr().out == "h/held/demo/polyglot/python-error-handling#run2\n"
        assert process.stderr is not None
        assert "#run2: " in process.stderr.readline()
        sweep.let_go()
        out, _ = process.communicate(timeout=100)

    assert process.returncode == 1
    assert '"reason":"it was cancelled"' in out
    assert main(["sweep", str(sweep.file), "--cancel", "*"]) == 2
    assert "no cab sweep runs in" in capsys.readouterr().err
