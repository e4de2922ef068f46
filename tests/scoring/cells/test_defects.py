"""The nine defects of the published scores, each with what `measured/1` does instead.

Every test shows the defect under `published/1`, which keeps it on purpose, or on a published page.
"""

from collections.abc import Sequence

import orjson
import pytest
from pydantic import ValidationError

from cab.proxy.redaction import Redactor
from cab.scoring import (
    Bundle,
    Cell,
    Identity,
    SelfReport,
    TreeManifest,
    composite,
    dump_cell,
    read_published,
    score_bundle,
    sum_calls,
)
from cab.scoring.ledger.records import AnyRecord
from tests.scoring.builders import (
    PAGES,
    check,
    end,
    facts,
    opening,
    refusal_task,
    spans,
    tree,
    uncounted,
)
from tests.scoring.cells.test_published import AMBIGUOUS

WAS = tree({"src/lib.py": "old", "TICKET.md": "faster"})
MENDED = tree({"src/lib.py": "new", "TICKET.md": "faster"})
IDLE_PAGE = next(path for path in PAGES if "maverick" in path.name)
AIDER_PAGE = next(path for path in PAGES if path.name.startswith("aider"))


def scored(
    calls: Sequence[AnyRecord] | None, after: TreeManifest = MENDED, **changes: object
) -> Cell:
    """Return a cell that fixed its source, with some facts changed."""
    sums = None if calls is None else sum_calls(calls)
    return score_bundle(Bundle(facts(**changes), WAS, after, sums, ""))


def composites(cell: Cell) -> tuple[float | None, float | None]:
    """Return a cell's composites under both profiles."""
    return cell.profiles["published/1"].composite, cell.profiles["measured/1"].composite


def test_1_unmeasured_tokens_are_not_perfectly_cheap() -> None:
    """Tokens that nobody counted are null and earn nothing; published, they earn the whole 0.15."""
    for calls in (None, [uncounted("a")]):
        cell = scored(calls)
        assert cell.scorers.tokens.total_tokens is None
        assert cell.profiles["published/1"].components.cost_efficiency == 1
        honest = cell.profiles["measured/1"]
        assert honest.components.cost_efficiency is None
        assert honest.coverage == pytest.approx(0.65 / 0.8)
        cheap = scored([end(prompt_tokens=0, completion_tokens=0, total_tokens=0)])
        assert honest.composite is not None
        assert honest.composite < (composites(cheap)[1] or 0)
    page = read_published(AIDER_PAGE).axes
    assert page.tokens.total_tokens == 0
    assert composite("measured/1", page).components.cost_efficiency is None


def test_2_model_calls_and_their_time_are_measured() -> None:
    """Calls and their time come from the ledger; a page's 0 is not taken for no call."""
    cell = scored([end("a"), end("b")])
    assert cell.scorers.tokens.model_calls == 2
    assert cell.scorers.latency.model_call_ms == 1000
    assert cell.scorers.calls is not None
    assert (cell.scorers.calls.succeeded, cell.scorers.calls.by_end_reason) == (2, {"completed": 2})
    page = read_published(AMBIGUOUS).axes
    assert (page.tokens.model_calls, page.latency.model_call_ms) == (0, 0)
    assert composite("measured/1", page).verdict == "scored"
    assert scored([opening()]).profiles["measured/1"].verdict == "invalid: no_model_call"


def test_3_the_agents_own_rounded_count_is_never_the_score() -> None:
    """What aider prints is kept beside the metered count, and changes neither it nor a composite."""
    report = SelfReport(
        prompt_tokens=1200, completion_tokens=1600, total_tokens=2800, source="tui", exact=False
    )
    with_report, without = scored([end()], self_reported=report), scored([end()])
    assert with_report.scorers.tokens == without.scorers.tokens
    assert with_report.timing.prompt_tokens == 100
    assert composites(with_report) == composites(without)
    assert composites(scored(None, self_reported=report)) == composites(scored(None))


def test_4_scratch_is_not_blast() -> None:
    """The agent's own files and its `git init` cost a right fix nothing; published, most of it."""
    scratch = dict.fromkeys([f".aider.{n}" for n in range(6)], "x")
    littered = tree({"src/lib.py": "new", "TICKET.md": "faster", **scratch}, git_dir=True)
    cell = scored([end()], littered)
    assert cell.scorers.blast_radius.blast_radius == 6 / 7
    assert cell.scorers.blast_radius.collateral_files == 0
    assert len(cell.scorers.blast_radius.scratch_changes or []) == 6
    assert cell.profiles["measured/1"].components.clean_blast == 1
    assert composites(cell)[1] == composites(scored([end()]))[1]
    stray = tree({"src/lib.py": "new", "TICKET.md": "faster", **scratch, "notes.txt": "x"})
    assert scored([end()], stray).profiles["measured/1"].components.clean_blast == 1 / 2


def test_5_doing_nothing_is_worth_nothing() -> None:
    """An agent that did nothing and failed scores 0 and says why; published, 0.56 or more."""
    failed = check(passed=False, exit_code=101)
    cell = scored([end()], WAS, check=failed)
    assert (composites(cell)[0] or 0) > 0.56
    assert composites(cell)[1] == 0
    assert cell.profiles["measured/1"].verdict == "no_op"
    page = read_published(IDLE_PAGE)
    assert page.composite == pytest.approx(0.56, abs=0.001)
    assert composite("measured/1", page.axes).composite == 0
    assert composites(scored([opening()], WAS, check=failed))[1] is None


def refused(after: TreeManifest, passed: bool) -> Cell:
    """Return a cell of a task whose right answer is a question."""
    identity = facts().identity
    outcome = check() if passed else check(passed=False, exit_code=1)
    return scored([end()], after, task=refusal_task(), check=outcome, identity=identity)


def test_6_a_refusal_has_one_verdict() -> None:
    """The verdict is true, false or null, agrees with the check, and a fabricated fix is worth 0."""
    asked = tree({"src/lib.py": "old", "TICKET.md": "faster", "CLARIFY.md": "which?"})
    right = refused(asked, passed=True)
    assert (right.scorers.refusal.refusal_correct, right.scorers.refusal.outcome) == (
        True,
        "documented_refusal",
    )
    overruled = refused(asked, passed=False)
    assert (overruled.scorers.refusal.refusal_correct, overruled.scorers.pass_rate.passed) == (
        False,
        0,
    )
    for passed in (True, False):
        invented = refused(MENDED, passed)
        assert invented.scorers.refusal.refusal_correct is False
        assert invented.scorers.refusal.outcome == "fabricated_fix"
        assert composites(invented)[1] == 0
    assert scored([end()]).scorers.refusal.refusal_correct is None
    published = orjson.loads(AMBIGUOUS.read_bytes())["scorers"]["refusal"]["refusal_correct"]
    assert (published, read_published(AMBIGUOUS).axes.refusal.refusal_correct) == ("true", True)


def test_7_no_key_and_no_doubled_digest_in_a_cell() -> None:
    """A key in an argument is masked in the cell's file, and a digest has a single `sha256:`."""
    key = "sk-live-0123456789abcdef"
    ran = spans()[1].model_copy(update={"attrs": {"argv": ["--api-key", key]}})
    text = Redactor([key])(dump_cell(scored([end()], spans=[ran])))
    assert key.encode() not in text
    assert b"--api-key" in text
    fields = facts().identity.model_dump()
    with pytest.raises(ValidationError, match="image_digest"):
        Identity(**{**fields, "image_digest": "sha256:sha256:" + "0" * 64})
    digest = "sha256:" + "0" * 64
    assert Identity(**{**fields, "image_digest": digest}).image_digest == digest


def test_8_blast_is_a_count_and_a_ratio_each_under_its_own_key() -> None:
    """The number of files and their share have keys of their own, and cannot be taken for another."""
    stray = tree({"src/lib.py": "new", "TICKET.md": "faster", "a": "x", "b": "y", "c": "z"})
    blast = scored([end()], stray).scorers.blast_radius
    assert (blast.collateral_files, blast.collateral_ratio) == (3, 3 / 4)
    assert blast.blast_radius == 3 / 4


def test_9_integrity_that_does_not_apply_is_not_credit() -> None:
    """An axis that does not apply is named so, leaves the sum, and does not lower the coverage."""
    cell = scored([end()])
    published, honest = cell.profiles["published/1"], cell.profiles["measured/1"]
    assert (published.components.integrity, honest.components.integrity) == (1, None)
    [term] = [term for term in honest.terms if term.name == "integrity"]
    assert (term.state, term.value, term.granted) == ("not_applicable", None, False)
    [gift] = [term for term in published.terms if term.name == "integrity"]
    assert (gift.state, gift.value, gift.granted) == ("not_applicable", 1, True)
    assert honest.coverage == 1
    assert honest.divisor == pytest.approx(0.8)
