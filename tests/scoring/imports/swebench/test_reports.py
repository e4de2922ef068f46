from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring import BadRecord
from cab.scoring.imports import read_swebench_report
from tests.scoring.imports.files import (
    RESOLVED,
    RUN_REPORT,
    UNRESOLVED,
    assert_rejected,
    changed,
    written,
)


def test_a_run_has_a_verdict_for_each_instance() -> None:
    """Resolved is a pass; not resolved and an empty patch are none; the rest says nothing."""
    verdicts = {
        cell.origin.name: (cell.passed, cell.reason) for cell in read_swebench_report(RUN_REPORT)
    }
    error = "not evaluated: the patch did not apply, or the evaluation failed"
    assert verdicts == {
        "demo__lib-1": (1, "resolved"),
        "demo__lib-2": (0, "not resolved"),
        "demo__lib-3": (None, "infrastructure failure: disk_full"),
        "demo__lib-4": (0, "an empty patch"),
        "demo__lib-5": (None, error),
        "demo__lib-6": (None, error),
    }


def test_what_was_not_submitted_is_not_a_cell() -> None:
    """An instance without a prediction was not run by anybody."""
    names = [cell.origin.name for cell in read_swebench_report(RUN_REPORT)]
    assert "demo__lib-7" not in names
    assert names == sorted(names, key=str)


def test_a_run_does_not_name_its_model() -> None:
    """The file's name is the sweep, and who reads it may say what the model is called."""
    [cell, *_] = read_swebench_report(RUN_REPORT)
    assert cell.cell_id == "vendor__small-1.run-1/unknown/unknown/swe-bench/demo__lib-1"
    assert (cell.origin.form, cell.origin.version) == ("swebench.run_report", "2")
    [cell, *_] = read_swebench_report(RUN_REPORT, model="vendor/small-1")
    assert cell.cell_id == "vendor__small-1.run-1/unknown/vendor/small-1/swe-bench/demo__lib-1"


def test_a_report_before_schema_2_is_read(tmp_path: Path) -> None:
    """Where unresolved instances are not listed, they are what was completed and not resolved."""
    old = {"resolved_ids": ["a"], "completed_ids": ["a", "b"], "error_ids": ["c"]}
    cells = read_swebench_report(written(tmp_path / "r.json", old))
    assert [(cell.origin.name, cell.passed) for cell in cells] == [("a", 1), ("b", 0), ("c", None)]
    assert cells[0].origin.version is None


def test_a_failure_of_the_infrastructure_without_a_reason_is_told(tmp_path: Path) -> None:
    """A reason that is missing is said to be; what was resolved stays so."""
    changes = {"failure_reasons": {}, "infra_failure_ids": ["demo__lib-3", "demo__lib-1", "other"]}
    cells = read_swebench_report(changed(RUN_REPORT, tmp_path, changes))
    found = {cell.origin.name: (cell.passed, cell.reason) for cell in cells}
    assert found["demo__lib-3"] == (None, "infrastructure failure: no reason is given")
    assert found["demo__lib-1"] == (1, "resolved")
    assert "other" not in found


def test_an_instance_names_run_and_model_by_its_folders() -> None:
    """An instance's own report lies in a folder that names both."""
    [cell] = read_swebench_report(RESOLVED)
    assert cell.cell_id == "run-1/unknown/vendor__small-1/swe-bench/demo__lib-1"
    assert (cell.passed, cell.partial_score, cell.reason) == (1, 1.0, "resolved")
    [cell] = read_swebench_report(RESOLVED, model="vendor/small-1")
    assert cell.cell_id == "run-1/unknown/vendor/small-1/swe-bench/demo__lib-1"


def test_the_share_of_the_tests_that_passed() -> None:
    """3 of 4 tests that count passed."""
    [cell] = read_swebench_report(UNRESOLVED)
    assert (cell.passed, cell.partial_score, cell.reason) == (0, 3 / 4, "not resolved")


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"resolved": False}, (0, "not resolved", None)),
        ({"resolved": False, "patch_exists": False}, (0, "no patch", None)),
        (
            {"resolved": False, "patch_successfully_applied": False},
            (0, "not resolved: the patch did not apply, or the tests gave no result", None),
        ),
        (
            {"resolved": False, "infra_failure": True},
            (None, "infrastructure failure: no reason is given", None),
        ),
        (
            {"resolved": False, "infra_failure": True, "infra_failure_reason": "oom"},
            (None, "infrastructure failure: oom", None),
        ),
        ({"resolved": True, "tests_status": {}}, (1, "resolved", None)),
    ],
)
def test_what_an_instance_says(
    tmp_path: Path, report: dict[str, Any], expected: tuple[int | None, str, float | None]
) -> None:
    """The verdict is the file's own, with what it says of the patch; without tests there is no share."""
    [cell] = read_swebench_report(written(tmp_path / "report.json", {"demo__lib-1": report}))
    assert (cell.passed, cell.reason, cell.partial_score) == expected
    assert cell.cell_id == "imported/unknown/unknown/swe-bench/demo__lib-1"


def test_a_file_may_hold_several_instances(tmp_path: Path) -> None:
    """Reports that were put together are one cell each, in the order of their names."""
    both = {**orjson.loads(UNRESOLVED.read_bytes()), **orjson.loads(RESOLVED.read_bytes())}
    cells = read_swebench_report(written(tmp_path / "report.json", both))
    assert [cell.passed for cell in cells] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"resolved_ids": None}, "resolved_ids", "list"),
        ({"resolved_ids": [1], "resolved_instances": 1}, "resolved_ids.0", "string"),
        ({"resolved_instances": 2}, "resolved_instances", "says 2 where resolved_ids has 1"),
        ({"error_instances": -1}, "error_instances", "greater"),
        ({"error_ids": ["demo__lib-5", "demo__lib-1"]}, "error_ids", "is there twice"),
        ({"empty_patch_ids": ["demo__lib-2"]}, "empty_patch_ids", "is there twice"),
        ({"failure_reasons": []}, "failure_reasons", "dictionary"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], field: str, reason: str
) -> None:
    """An instance in two lists, or a number that is not its list's, is named."""
    assert_rejected(read_swebench_report, changed(RUN_REPORT, tmp_path, changes), field, reason)


@pytest.mark.parametrize(
    ("report", "field"),
    [
        ({"resolved": 1}, "x.resolved"),
        ({"resolved": True, "tests_status": {"FAIL_TO_PASS": {"success": []}}}, "x.tests_status"),
    ],
)
def test_a_wrong_field_of_an_instance_is_named(tmp_path: Path, report: Any, field: str) -> None:
    """A field of the wrong type is named with its instance."""
    with pytest.raises(BadRecord) as caught:
        read_swebench_report(written(tmp_path / "report.json", {"x": report}))
    assert (caught.value.field or "").startswith(field)


def test_an_empty_object_is_not_a_report(tmp_path: Path) -> None:
    """An empty file has no report."""
    with pytest.raises(BadRecord, match="is not a report of SWE-bench"):
        read_swebench_report(written(tmp_path / "report.json", {}))
