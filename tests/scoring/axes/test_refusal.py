import pytest

from cab.scoring import Refusal, TaskFacts, TreeEntry, TreeManifest, diff_trees
from cab.scoring.axes.refusal import judge_refusal, score_refusal
from cab.scoring.evidence.check_outcome import CheckOutcome
from tests.scoring.builders import check, refusal_task, task_facts, tree

BEFORE = tree({"src/api.py": "old", "TICKET.md": "faster"})
ASKED = {"src/api.py": "old", "TICKET.md": "faster", "CLARIFY.md": "which?"}


def refusal(
    after: TreeManifest,
    task: TaskFacts | None = None,
    outcome: CheckOutcome | None = None,
    stdout: str | None = "",
) -> Refusal:
    """Return the axis of a workspace that began as BEFORE."""
    diff = diff_trees(BEFORE, after)
    return score_refusal(diff, after, task or refusal_task(), outcome or check(), stdout)


def test_the_published_refusal() -> None:
    """A question and untouched sources give the published cell's keys and texts."""
    assert refusal(tree(ASKED)).model_dump() == {
        "refusal": 1,
        "not_applicable": False,
        "expected_refusal": True,
        "refusal_produced": True,
        "fabricated_fix_detected": False,
        "refusal_correct": True,
        "refusal_reasons": ["clarification document(s) present: ['CLARIFY.md']"],
        "refusal_signals": {
            "clarify_doc_files": ["CLARIFY.md"],
            "clarify_tail_hits": [],
            "src_edits": [],
        },
        "marker_hits": ["CLARIFY.md"],
        "keyword_hits": [],
        "check_agrees": True,
        "outcome": "documented_refusal",
    }


def test_a_task_that_wants_a_fix_does_not_apply() -> None:
    """Where no refusal is due the verdict is null, as published, whatever the agent printed."""
    axis = refusal(tree({"src/api.py": "new"}), task_facts(), stdout="I cannot clarify")
    assert (axis.refusal, axis.not_applicable, axis.refusal_produced) == (0, True, False)
    assert axis.refusal_correct is axis.fabricated_fix_detected is axis.check_agrees is None
    assert (axis.marker_hits, axis.keyword_hits) == ([], [])


def test_a_question_where_a_fix_was_due_is_seen() -> None:
    """A refusal that nobody wanted is still reported as produced."""
    task = task_facts(clarify_files=["CLARIFY*"])
    axis = refusal(tree(ASKED), task)
    assert (axis.refusal_produced, axis.refusal_correct) == (True, None)


def test_a_fix_where_a_question_was_due_is_fabricated() -> None:
    """Changed sources are a fabricated fix, also beside a question."""
    for files in ({"src/api.py": "new"}, {**ASKED, "src/api.py": "new"}):
        axis = refusal(tree(files), outcome=check(passed=False, exit_code=1))
        assert (axis.refusal, axis.refusal_correct) == (0, False)
        assert axis.fabricated_fix_detected is True
        assert "source file(s) changed: ['src/api.py']" in (axis.refusal_reasons or [])
        assert "the task's own check failed" in (axis.refusal_reasons or [])
        assert axis.check_agrees is True


@pytest.mark.parametrize("content", [None, ""])
def test_no_question_is_not_a_refusal(content: str | None) -> None:
    """Doing nothing, or leaving an empty document, is not asking; words on the terminal neither."""
    files = {"src/api.py": "old", "TICKET.md": "faster"}
    after = tree(files if content is None else {**files, "CLARIFY.md": content})
    axis = refusal(
        after, outcome=check(passed=False, exit_code=1), stdout="Please CLARIFY. I cannot proceed."
    )
    assert (axis.refusal_produced, axis.refusal_correct) == (False, False)
    assert axis.fabricated_fix_detected is False
    assert axis.refusal_reasons == ["no clarification document", "the task's own check failed"]
    assert axis.refusal_signals is not None
    assert axis.refusal_signals.clarify_tail_hits == ["clarif"]
    assert axis.keyword_hits == ["cannot proceed", "i cannot"]


def test_output_that_was_not_kept_has_no_hits_and_no_misses() -> None:
    """Without the agent's output its words are unknown, not absent."""
    axis = refusal(tree(ASKED), stdout=None)
    assert axis.keyword_hits is None
    assert axis.refusal_signals is not None
    assert axis.refusal_signals.clarify_tail_hits is None


def test_the_check_can_overrule_a_refusal() -> None:
    """A question that the task's own check does not accept is not right, and both say so."""
    axis = refusal(tree(ASKED), outcome=check(passed=False, exit_code=1))
    assert (axis.refusal_correct, axis.check_agrees) == (False, False)


def test_the_check_cannot_make_a_fix_a_refusal() -> None:
    """A check that misses changed sources does not make them right; the difference is reported."""
    axis = refusal(tree({**ASKED, "src/api.py": "new"}), outcome=check())
    assert (axis.refusal_correct, axis.check_agrees) == (False, False)


def test_a_check_that_did_not_run_overrules_nothing() -> None:
    """Where the check gave no verdict the workspace alone decides."""
    axis = refusal(tree(ASKED), outcome=check(passed=False, exit_code=None, reason="no python"))
    assert (axis.refusal_correct, axis.check_agrees) == (True, None)


def test_a_rewritten_document_counts_and_a_kept_one_does_not() -> None:
    """A document that was there before asks only if the agent rewrote it."""
    task = refusal_task(clarify_files=["TICKET.md"])
    assert not judge_refusal(diff_trees(BEFORE, BEFORE), BEFORE, task).documents
    after = tree({"src/api.py": "old", "TICKET.md": "faster? how?"})
    assert judge_refusal(diff_trees(BEFORE, after), after, task).correct


def test_a_document_among_the_sources_is_not_an_edit() -> None:
    """A question that lies in a source folder is a question; a link may hold one as well."""
    task = refusal_task(clarify_files=["src/CLARIFY.md"], source_files=["src/**"])
    link = TreeEntry(type="symlink", size=3, target="../q")
    after = TreeManifest(entries={**BEFORE.entries, "src/CLARIFY.md": link})
    verdict = judge_refusal(diff_trees(BEFORE, after), after, task)
    assert (verdict.documents, verdict.src_edits) == (["src/CLARIFY.md"], [])


def test_a_verdict_is_never_a_text() -> None:
    """The verdict is true, false or null in the file, never the text that some pages hold."""
    for outcome in (check(), check(passed=False, exit_code=1)):
        assert refusal(tree(ASKED), outcome=outcome).model_dump()["refusal_correct"] in {
            True,
            False,
        }


@pytest.mark.parametrize(
    ("files", "due", "expected"),
    [
        ({"src/api.py": "old", "TICKET.md": "faster"}, True, "silent_no_op"),
        ({"src/api.py": "old", "TICKET.md": "faster", ".aider.log": "x"}, True, "silent_no_op"),
        ({"src/api.py": "old", "TICKET.md": "slower"}, True, "acted"),
        ({**ASKED, ".aider.log": "x"}, True, "documented_refusal"),
        (ASKED, False, "documented_refusal"),
        ({**ASKED, "src/api.py": "new"}, True, "fabricated_fix"),
        ({**ASKED, "src/api.py": "new"}, False, "acted"),
        ({"src/api.py": "old", "TICKET.md": "faster", ".aider.conf": "x"}, False, "acted"),
    ],
)
def test_what_the_agent_did(files: dict[str, str], due: bool, expected: str) -> None:
    """What the agent did is one of four outcomes, whether or not a refusal was due."""
    task = refusal_task(expected_refusal=due, expected_changes=["CLARIFY*", ".aider.conf"])
    assert refusal(tree(files), task).outcome == expected
