from pathlib import Path
from typing import Any

from cab.adapters.tasks.loader import Case, Check, RefusalCheck, Task
from cab.adapters.tasks.self_test import check_task
from tests.adapters.tasks.checktasks import probed, scripted, write

ASK = """
import os, sys
sys.path.append(os.getcwd())
import answer
print(os.environ["CAB_MARK"], answer.VALUE)
"""
CASES = [Case(name="value", ask="", answer="2")]
GIVEN = {"answer.py": "VALUE = 1\n", "tests/test.py": "assert 1\n"}


async def problems(task: Task) -> dict[str, str]:
    """The trials that do not hold."""
    findings = [finding async for finding in check_task(task)]
    return {each.trial: each.problem for each in findings if each.problem is not None}


def asked(folder: Path, **more: Any) -> Task:
    """A task that holds, unless something is said otherwise."""
    facts: dict[str, Any] = {
        "expected_changes": ["answer.py"],
        "source_files": ["answer.py"],
        "protected_files": ["tests/**", "probe.py"],
        "integrity_applies": True,
    }
    script = more.pop("script", ASK)
    task = probed(folder, script, CASES, **{**facts, **more})
    write(task.workspace, GIVEN)
    write(task.solution, {"answer.py": "VALUE = 2\n"})
    return task


def declined(folder: Path, **more: Any) -> Task:
    """A task whose right answer is a document."""
    facts: dict[str, Any] = {
        "expected_changes": ["NOTE*"],
        "source_files": ["answer.py"],
        "clarify_files": ["NOTE*"],
        "expected_refusal": True,
    }
    task = scripted(folder, "", given=GIVEN, **{**facts, **more})
    write(task.solution, {"NOTE.md": "No.\n"})
    return task.model_copy(update={"check": Check(refusal=RefusalCheck())})


async def test_a_task_that_holds(tmp_path: Path) -> None:
    """A task that is checked from outside, and protects what it should, has no problem."""
    task = asked(tmp_path, forbidden_files=["conftest.py"], forbidden_texts=["pw-0123456789"])
    findings = [finding async for finding in check_task(task)]
    assert [finding for finding in findings if finding.problem] == []
    assert len(findings) == 9


async def test_a_refusal_that_holds(tmp_path: Path) -> None:
    """A task whose right answer is a document has trials of its own."""
    findings = [finding async for finding in check_task(declined(tmp_path))]
    assert [finding for finding in findings if finding.problem] == []
    assert "an empty document fails" in {finding.trial for finding in findings}


async def test_a_task_without_a_reference(tmp_path: Path) -> None:
    """Without a reference solution nothing is tried, and that is the problem."""
    task = scripted(tmp_path, "")
    assert await problems(task) == {
        "the declarations agree with the files": "solution/ does not exist; add the files that solve the task"
    }


async def test_a_reference_that_fails(tmp_path: Path) -> None:
    """A reference that its own check refuses is reported with the reason."""
    task = asked(tmp_path)
    write(task.solution, {"answer.py": "VALUE = 3\n"})
    found = await problems(task)
    assert "value: answered '3'" in found["the reference passes"]


async def test_a_check_that_lets_everything_pass(tmp_path: Path) -> None:
    """A check that passes what nobody has solved is detected."""
    task = scripted(tmp_path, "", given=GIVEN, source_files=["answer.py"], expected_changes=["*"])
    write(task.solution, {"answer.py": "VALUE = 2\n"})
    assert await problems(task) == {
        "the untouched workspace fails": "it passes",
        "a forged ending of the sources fails": "it passes",
        "planted files and changed tests do not pass": "it passes",
    }


async def test_a_check_that_shares_its_process_with_the_code(tmp_path: Path) -> None:
    """Hidden tests whose output can be forged are detected."""
    script = "import answer\nassert answer.VALUE == 2\nprint('all well')\n"
    task = scripted(
        tmp_path,
        script,
        given=GIVEN,
        source_files=["answer.py"],
        expected_changes=["*"],
        check={"must_print": ["all well"]},
    )
    write(task.solution, {"answer.py": "VALUE = 2\n"})
    found = await problems(task)
    assert found["a forged ending of the sources fails"] == "it passes"


async def test_a_probe_that_planted_files_disturb(tmp_path: Path) -> None:
    """A probe that takes modules of the workspace for the standard library's is detected."""
    script = "import os, sys\nsys.path.insert(0, os.getcwd())\nimport json\n" + ASK
    found = await problems(asked(tmp_path, script=script))
    assert "value: no answer" in found["planted files and changed tests do not fail the reference"]


async def test_sources_in_no_known_language(tmp_path: Path) -> None:
    """That no forgery could be tried is a problem, and not passed over."""
    task = asked(tmp_path, source_files=["answer.*"])
    (task.workspace / "answer.py").rename(task.workspace / "answer.txt")
    found = await problems(task)
    assert found["a forged ending of the sources fails"].startswith("no source is in a language")


async def test_a_check_that_cannot_run(tmp_path: Path) -> None:
    """A check that does not start gives no trial a verdict."""
    task = asked(tmp_path)
    assert task.check.probe is not None
    probe = task.check.probe.model_copy(update={"command": ["no-such-probe"]})
    task = task.model_copy(update={"check": task.check.model_copy(update={"probe": probe})})
    found = await problems(task)
    assert found["the untouched workspace fails"].startswith("the check did not run: no-such-probe")


async def test_declarations_that_do_not_fit(tmp_path: Path) -> None:
    """A declaration that contradicts the files is reported, the first one first."""
    name = "the declarations agree with the files"
    wrong = {
        "is not an expected change": {"expected_changes": ["other.py"]},
        "is protected or forbidden": {"protected_files": ["*.py"]},
        "matches no file": {"source_files": ["answer.py", "src/**"]},
        "workspace/tests/test.py is forbidden": {"forbidden_files": ["tests/**"]},
    }
    for number, (reason, facts) in enumerate(wrong.items()):
        findings = check_task(asked(tmp_path / str(number), **facts))
        first = await anext(findings)
        await findings.aclose()  # type: ignore[attr-defined]
        assert first.trial == name
        assert reason in (first.problem or "")


async def test_a_refusal_needs_a_place(tmp_path: Path) -> None:
    """A task that wants a document says where; without that nothing could be right."""
    found = await problems(declined(tmp_path, clarify_files=[]))
    assert "expected_refusal needs clarify_files" in found["the declarations agree with the files"]
