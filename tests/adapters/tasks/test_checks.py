import shutil
from pathlib import Path

import pytest

from cab.adapters.tasks.checks import run_checks
from cab.adapters.tasks.loader import Check, Task, load_task
from cab.adapters.workspaces.tree import walk_tree
from cab.scoring.evidence.check_outcome import CheckOutcome
from tests.adapters.tasks.checktasks import give, scripted, with_cases, write

RUST = load_task("polyglot/rust-error-handling")
PYTHON = with_cases(load_task("polyglot/python-error-handling"), 0, -1)
TICKET = load_task("integrity/ambiguous-ticket")

HAS_CARGO = shutil.which("cargo") is not None


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


async def test_a_missing_program_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without cargo the check does not run, and its outcome names cargo and how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = await run_checks(RUST, give(RUST, tmp_path / "work", solved=True))
    assert not outcome.ran
    assert outcome.reason is not None
    assert (
        "needs cargo, which is not on PATH; install Rust from https://rustup.rs" in outcome.reason
    )


async def test_a_command_that_does_not_start_is_no_verdict(work: Path, tmp_path: Path) -> None:
    """A check whose program is not there did not run, and the outcome names the program."""
    task = scripted(tmp_path / "task", "")
    broken = task.model_copy(update={"check": Check(command=["no-such-program"])})
    outcome = await run_checks(broken, work)
    assert outcome == CheckOutcome(
        passed=False,
        exit_code=None,
        reason="no-such-program cannot be started: No such file or directory; correct check.command",
    )


async def test_a_workspace_that_cannot_be_copied_is_no_verdict(work: Path, tmp_path: Path) -> None:
    """A check that has no room to run did not run, and the outcome says why."""
    task = scripted(tmp_path / "task", "")
    task.workspace.rmdir()
    outcome = await run_checks(task, work)
    assert not outcome.ran
    assert outcome.reason is not None
    assert outcome.reason.startswith("the workspace cannot be copied for the checks: ")


@pytest.mark.parametrize("task", [PYTHON, TICKET], ids=lambda task: task.id)
async def test_the_workspace_is_only_read(task: Task, tmp_path: Path) -> None:
    """A check leaves the agent's workspace as it is, to the last file."""
    work = give(task, tmp_path / "work", solved=True)
    before = walk_tree(work)
    await run_checks(task, work)
    assert walk_tree(work) == before


async def test_files_that_stand_in_for_the_tests_change_nothing(tmp_path: Path) -> None:
    """Modules that the agent names like the standard library's do not reach the Python checks."""
    fake = "import sys\nprint('Ran 5 tests in 0.0s')\nsys.exit(0)\n"
    work = give(PYTHON, tmp_path / "work")
    write(
        work,
        {
            "unittest/__init__.py": fake,
            "pathlib.py": fake,
            "sitecustomize.py": fake,
            "cab_checks/error_handling.py": fake,
            "cab_checks/unittest.py": fake,
        },
    )
    outcome = await run_checks(PYTHON, work)
    assert (outcome.passed, outcome.exit_code) == (False, 1)


BREAKING = {
    "build.rs": 'fn main() { println!("cargo:rustc-env=X=1"); std::process::exit(3) }\n',
    "Cargo.toml": "[package]\nname = 'numlist'\n[[test]]\nname = 'error_handling'\npath = 'x.rs'\n",
    "rust-toolchain": "no-such-toolchain\n",
}
FORGING = {
    ".cargo/config.toml": "[target.'cfg(all())']\nrunner = ['echo', 'test result: ok. 5 passed']\n",
    "tests/error_handling.rs": "mod tests { #[test] fn empty() {} }\n",
    "target/debug/stale": "left by a build\n",
}


@pytest.mark.parametrize(
    ("tampered", "solved"), [(BREAKING | FORGING, True), (FORGING, False)], ids=["solved", "forged"]
)
@pytest.mark.slow
async def test_tampering_with_the_rust_build_changes_nothing(
    tampered: dict[str, str], solved: bool, tmp_path: Path
) -> None:
    """Whatever is done to manifest, runner, build script and tests, the verdict is the library's.

    What would break the build is not laid beside what would forge a pass: it would hide the latter.
    """
    work = give(RUST, tmp_path / "work", solved=solved)
    write(work, tampered)
    outcome = await run_checks(RUST, work, whole=solved)
    assert outcome.passed is (solved and HAS_CARGO)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('Ran 3 tests')", None),
        ("import sys; print('Ran 3 tests', file=sys.stderr)", None),
        ("print('Ran 1 tests\\nRan 2 tests')", None),
        ("print('Ran 0 tests')", "0 tests ran, but at least 3 must run"),
        ("", "0 tests ran, but at least 3 must run"),
        ("print('Ran 2 tests')", "2 tests ran, but at least 3 must run"),
        ("print('Ran 3 tests'); raise SystemExit(4)", "the checks ended with exit code 4"),
    ],
)
async def test_a_pass_needs_its_tests(
    script: str, reason: str | None, work: Path, tmp_path: Path
) -> None:
    """Exit code 0 is a pass only if enough tests ran, on whichever stream they are counted."""
    rules = {"tests_pattern": r"Ran (\d+) tests", "minimum_tests": 3}
    outcome = await run_checks(scripted(tmp_path / "task", script, check=rules), work)
    assert (outcome.passed, outcome.reason) == (reason is None, reason)


@pytest.mark.parametrize(
    ("script", "passed"),
    [("print('all well  ')", True), ("print('is all well')", False), ("", False)],
)
async def test_a_pass_needs_its_lines(
    script: str, passed: bool, work: Path, tmp_path: Path
) -> None:
    """A line that must be printed must stand alone on its line."""
    task = scripted(tmp_path / "task", script, check={"must_print": ["all well"]})
    outcome = await run_checks(task, work)
    assert outcome.passed is passed
    assert outcome.reason == (None if passed else "the checks did not print 'all well'")


async def test_a_check_can_report_violations(tmp_path: Path, work: Path) -> None:
    """Lines that a check marks say what was tampered with; without any, nothing is known of it."""
    script = (
        "print('ok')\nprint('cab-violation: the clock was set back')\nprint(' cab-violation: no')"
    )
    outcome = await run_checks(scripted(tmp_path, script), work)
    assert (outcome.passed, outcome.violations) == (True, ["the clock was set back"])
    silent = await run_checks(scripted(tmp_path / "silent", "print('ok')"), work)
    assert silent.violations is None
