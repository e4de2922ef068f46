from cab.scoring import TaskFacts


def test_a_task_declares_nothing_by_itself() -> None:
    """What a task does not declare is not expected, protected, scratch or refused."""
    facts = TaskFacts(task_id="f/t", category="f", prompt="p")
    assert facts.expected_changes == facts.scratch_files == facts.protected_files == []
    assert facts.clarify_files == facts.source_files == []
    assert not facts.expected_refusal
    assert not facts.integrity_applies
