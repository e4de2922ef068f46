from pathlib import Path

import pytest

from cab.adapters.tasks.checks import run_checks
from cab.adapters.tasks.loader import Case
from tests.adapters.tasks.checktasks import probed, scripted, write

SHOUT = """
import os, sys
sys.path.insert(0, os.getcwd())
from voice import shout
print(os.environ["CAB_MARK"], shout(sys.stdin.read()))
"""
CASES = [
    Case(name="a word", ask="hello", answer="HELLO!"),
    Case(name="nothing", ask="", answer="!"),
    Case(name="two words", ask="a b", answer="A B!"),
]
RIGHT = "def shout(text):\n    return text.upper() + '!'\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


async def test_right_answers_pass(work: Path, tmp_path: Path) -> None:
    """If every question is answered correctly, the check passes with all of its share."""
    write(work, {"voice.py": RIGHT})
    outcome = await run_checks(probed(tmp_path / "task", SHOUT, CASES), work)
    assert (outcome.passed, outcome.exit_code, outcome.partial_score) == (True, 0, 1.0)
    assert outcome.stdout_tail == "ok: a word\nok: nothing\nok: two words\n"
    assert outcome.reason is None


async def test_wrong_answers_are_shown_and_right_ones_are_not(work: Path, tmp_path: Path) -> None:
    """A wrong answer is reported with its question's name; the right answer is not."""
    write(work, {"voice.py": RIGHT.replace("upper", "title")})
    outcome = await run_checks(probed(tmp_path / "task", SHOUT, CASES), work)
    assert (outcome.passed, outcome.exit_code) == (False, 1)
    assert outcome.partial_score == pytest.approx(2 / 3)
    assert outcome.stdout_tail.startswith("not ok: a word: answered 'Hello!'\nok: nothing\n")
    assert "HELLO!" not in f"{outcome}"
    assert outcome.reason == "1 of 3 questions were answered wrong; a word: answered 'Hello!'"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os\nos._exit(0)\n", "no answer, exit code 0"),
        ("print('HELLO!')\nraise SystemExit(0)\n", "no answer, exit code 0"),
        ("raise SystemExit(3)\n", "no answer, exit code 3"),
        (
            "import os\nprint(os.environ['CAB_MARK'], 'ok', flush=True)\nos._exit(0)\n",
            "answered 'ok'",
        ),
        (
            "import os\nprint(os.environ['CAB_MARK'], 'HELLO!', flush=True)\nos._exit(4)\n",
            "answered 'HELLO!', exit code 4",
        ),
        (
            "import os\nprint(os.environ['CAB_MARK'], 'first')\n" + RIGHT,
            r"answered 'first\nHELLO!'",
        ),
    ],
)
async def test_forged_endings_are_no_answers(
    code: str, why: str, work: Path, tmp_path: Path
) -> None:
    """Code that ends its process, or says that all is well, has answered nothing."""
    write(work, {"voice.py": code})
    outcome = await run_checks(probed(tmp_path / "task", SHOUT, CASES[:1]), work)
    assert not outcome.passed
    assert outcome.stdout_tail == f"not ok: a word: {why}\n"


async def test_other_output_is_no_answer_and_does_no_harm(work: Path, tmp_path: Path) -> None:
    """What the code prints besides, with or without a line end, changes nothing."""
    code = RIGHT.replace(
        "    return", "    print('debug')\n    print('half a line', end='')\n    return"
    )
    write(work, {"voice.py": code})
    assert (await run_checks(probed(tmp_path / "task", SHOUT, CASES), work)).passed


async def test_an_answer_of_several_lines(work: Path, tmp_path: Path) -> None:
    """Each marked line is a line of the answer; white space at line ends does not count."""
    script = "import os\nfor line in 'a', '', 'b  ':\n    print(os.environ['CAB_MARK'], line)\n"
    case = Case(name="lines", ask="", answer="a\n\nb\n")
    assert (await run_checks(probed(tmp_path / "task", script, [case]), work)).passed


async def test_each_question_has_a_process_and_a_mark_of_its_own(
    work: Path, tmp_path: Path
) -> None:
    """What one question has brought into memory, or learnt of the mark, is gone for the next."""
    script = (
        "import os\n"
        "with open('marks', 'a') as marks: print(os.environ['CAB_MARK'], os.getpid(), file=marks)\n"
        "words = open('marks').read().split()\n"
        "print(os.environ['CAB_MARK'], len(words) == len(set(words)))\n"
    )
    cases = [Case(name=str(number), ask="", answer="True") for number in range(3)]
    assert (await run_checks(probed(tmp_path / "task", script, cases), work)).passed


async def test_a_question_that_is_never_answered_costs_its_time_only(
    work: Path, tmp_path: Path
) -> None:
    """A question that hangs is stopped at its own limit, and the next ones are asked."""
    code = "import time\n\n\ndef shout(text):\n    if not text:\n        time.sleep(600)\n    return text.upper() + '!'\n"
    write(work, {"voice.py": code})
    task = probed(tmp_path / "task", SHOUT, CASES, probe={"case_timeout_s": 2.0})
    outcome = await run_checks(task, work)
    assert (
        outcome.stdout_tail
        == "ok: a word\nnot ok: nothing: did not end within 2 s\nok: two words\n"
    )
    assert (outcome.timed_out, outcome.exit_code) == (False, 1)


async def test_the_time_of_the_whole_check_is_limited(work: Path, tmp_path: Path) -> None:
    """At the limit of the whole check its questions end, and the outcome says so."""
    write(work, {"voice.py": "import time\ntime.sleep(600)\n"})
    outcome = await run_checks(probed(tmp_path / "task", SHOUT, CASES), work, timeout_s=0.5)
    assert (outcome.passed, outcome.timed_out, outcome.exit_code) == (False, True, None)
    assert outcome.reason == "stopped after 0.5 s"
    assert outcome.partial_score is None


async def test_a_first_wrong_answer_can_be_enough(work: Path, tmp_path: Path) -> None:
    """Without `whole` the first wrong answer ends the check, and there is no share."""
    write(work, {"voice.py": "shout = str\n"})
    outcome = await run_checks(probed(tmp_path / "task", SHOUT, CASES), work, whole=False)
    assert (outcome.passed, outcome.partial_score) == (False, None)
    assert outcome.stdout_tail == "not ok: a word: answered 'hello'\n"


async def test_what_the_probe_is_built_with_comes_first(work: Path, tmp_path: Path) -> None:
    """The commands that build a probe run once, in order, before any question."""
    build = [["{python}", "-c", "open('built', 'w').write('x')"]]
    script = "import os\nprint(os.environ['CAB_MARK'], open('built').read())\n"
    case = Case(name="built", ask="", answer="x")
    task = probed(tmp_path / "task", script, [case], probe={"build": build})
    assert (await run_checks(task, work)).passed


@pytest.mark.parametrize(
    ("code", "limit_s", "reason", "stopped"),
    [
        ("raise SystemExit(7)", 60, "ended with exit code 7", False),
        ("import time; time.sleep(600)", 0.5, "stopped after 0.5 s", True),
    ],
)
async def test_a_probe_that_cannot_be_built_is_no_pass(
    code: str, limit_s: float, reason: str, stopped: bool, work: Path, tmp_path: Path
) -> None:
    """Code that does not compile fails the check, and the outcome names the command."""
    build = [["{python}", "-c", code]]
    task = probed(tmp_path / "task", SHOUT, CASES, probe={"build": build})
    outcome = await run_checks(task, work, timeout_s=limit_s)
    assert not outcome.passed
    assert outcome.timed_out is stopped
    assert outcome.reason is not None
    assert outcome.reason.endswith(reason)


async def test_a_probe_that_does_not_start_is_no_verdict(work: Path, tmp_path: Path) -> None:
    """A probe whose program is not there gives no verdict on the agent."""
    task = probed(tmp_path / "task", SHOUT, CASES)
    assert task.check.probe is not None
    broken = task.check.probe.model_copy(update={"command": ["no-such-probe"]})
    task = task.model_copy(update={"check": task.check.model_copy(update={"probe": broken})})
    outcome = await run_checks(task, work)
    assert not outcome.ran
    assert outcome.reason is not None
    assert outcome.reason.startswith("no-such-probe cannot be started")


async def test_tests_and_questions_must_both_hold(work: Path, tmp_path: Path) -> None:
    """Where a task has hidden tests and questions, one of the two failing is enough to fail."""
    write(work, {"voice.py": RIGHT})
    for code, passed in ((0, True), (3, False)):
        command = ["{python}", "-c", f"print('tests'); raise SystemExit({code})"]
        task = probed(tmp_path / "task", SHOUT, CASES, check={"command": command})
        outcome = await run_checks(task, work)
        assert (outcome.passed, outcome.exit_code) == (passed, code)
        assert outcome.partial_score == 1.0
        assert outcome.stdout_tail.startswith("tests\nok: a word\n")


async def test_tests_that_are_stopped_leave_no_time_for_questions(
    work: Path, tmp_path: Path
) -> None:
    """Hidden tests that use up the time are the end of the check."""
    command = ["{python}", "-c", "import time; time.sleep(600)"]
    task = probed(tmp_path / "task", SHOUT, CASES, check={"command": command})
    outcome = await run_checks(task, work, timeout_s=0.5)
    assert (outcome.timed_out, outcome.partial_score) == (True, None)
    assert "a word" not in outcome.stdout_tail


async def test_the_answers_are_not_in_the_reach_of_the_probe(work: Path, tmp_path: Path) -> None:
    """Neither environment, arguments nor files of the probe's process hold the right answer."""
    script = (
        "import os, pathlib, sys\n"
        "texts = [*os.environ.values(), *sys.argv, sys.stdin.read()]\n"
        "root = pathlib.Path.cwd().parent\n"
        "texts += [f.read_text() for f in root.rglob('*') if f.is_file() and f.name != 'probe.py']\n"
        "print(os.environ['CAB_MARK'], 'un' + 'found' if not any('unfound' in t for t in texts) else 'seen')\n"
    )
    task = probed(tmp_path / "task", script, [Case(name="secret", ask="?", answer="unfound")])
    write(tmp_path / "task", {"cases.toml": "answer = 'unfound'\n"})
    outcome = await run_checks(task, work)
    assert outcome.passed, outcome.stdout_tail


async def test_without_a_probe_there_is_no_share(work: Path, tmp_path: Path) -> None:
    """Hidden tests alone give no share of what passed."""
    assert (await run_checks(scripted(tmp_path / "task", ""), work)).partial_score is None
