from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import TreeDiff
from cab.scoring.axes.blast_radius import score_blast_radius
from tests.scoring.builders import task_facts

SCRATCH = [
    ".aider.chat.history.md",
    ".aider.input.history",
    ".aider.tags.cache.v4/cache.db",
    ".aider/analytics.json",
    ".aider/caches/model_prices_and_context_window.json",
    ".aider/installs.json",
]


def test_the_published_aider_cell() -> None:
    """The published cell's changes give its ratio, and the scratch files among them stand apart."""
    axis = score_blast_radius(
        TreeDiff(added=SCRATCH, removed=[], modified=["src/lib.rs"]),
        task_facts(expected_changes=["src/lib.rs"], scratch_files=[".aider*"]),
        extra_git_dir=True,
    )
    assert axis.blast_radius == 6 / 7 == 0.8571428571428571
    assert axis.unexpected_changes == axis.scratch_changes == SCRATCH
    assert axis.expected_changes == ["src/lib.rs"]
    assert (axis.total_changes, axis.extra_git_dir) == (7, True)


def test_collateral_edits_are_not_scratch() -> None:
    """A stray file of the agent's work is unexpected, and no scratch."""
    diff = TreeDiff(added=["test_bin"], removed=["README"], modified=["src/lib.py"])
    axis = score_blast_radius(diff, task_facts(), extra_git_dir=False)
    assert axis.unexpected_changes == ["README", "test_bin"]
    assert axis.scratch_changes == []
    assert axis.blast_radius == 2 / 3


def test_a_declared_file_is_expected_even_if_it_looks_like_scratch() -> None:
    """What the task asks for is never scratch."""
    task = task_facts(expected_changes=[".aider.conf.yml"])
    axis = score_blast_radius(TreeDiff([".aider.conf.yml"], [], []), task, extra_git_dir=False)
    assert (axis.blast_radius, axis.scratch_changes) == (0, [])


def test_no_change_has_no_radius() -> None:
    """Nothing changed gives 0, as published."""
    axis = score_blast_radius(TreeDiff([], [], []), task_facts(), extra_git_dir=False)
    assert (axis.blast_radius, axis.total_changes) == (0.0, 0)


@given(st.sets(st.sampled_from(["src/lib.py", "a", "b", ".aider.log", "src/x"])))
def test_every_change_is_expected_or_not(paths: set[str]) -> None:
    """Expected and unexpected changes are all changes, and the ratio is their share."""
    axis = score_blast_radius(TreeDiff(sorted(paths), [], []), task_facts(), extra_git_dir=False)
    assert sorted(axis.expected_changes + axis.unexpected_changes) == sorted(paths)
    assert 0 <= axis.blast_radius <= 1
    assert axis.blast_radius * axis.total_changes == len(axis.unexpected_changes)
    assert set(axis.scratch_changes or []) <= set(axis.unexpected_changes)
