from pathlib import Path

import pytest

from cab.scoring.errors import BadRecord
from cab.scoring.exports.swebench import prediction
from tests.scoring.builders import task_facts
from tests.scoring.exports.cells import PATCH, cell_id, source


def test_a_prediction_has_the_three_members_that_the_harness_reads(tmp_path: Path) -> None:
    """Instance, who made it, and the patch as it is; the run is not part of them."""
    found = source(tmp_path / "b", cell_id("django__django-11099", run=2))
    assert prediction(found).line == {
        "instance_id": "django__django-11099",
        "model_name_or_path": "scripted/lab/demo",
        "model_patch": PATCH,
    }


def test_a_patch_is_passed_on_to_the_byte(tmp_path: Path) -> None:
    """Carriage returns and letters of other alphabets come through; nothing changed is an empty text."""
    text = PATCH.replace("+new", "+n\u00eb\u00f6\r")
    assert prediction(source(tmp_path / "a", patch=text.encode())).line["model_patch"] == text
    assert prediction(source(tmp_path / "b", patch=b"")).line["model_patch"] == ""


def test_scratch_and_what_no_patch_holds_are_left_out_by_name(tmp_path: Path) -> None:
    """The agent's own files, and files that are only named, are not in a prediction; binary ones are."""
    scratch = PATCH.replace("src/lib.py", ".aider.tags/db")
    old = "diff --git a/old b/old\nnew file mode 100644\nBinary files /dev/null and b/old differ\n"
    binary = "diff --git a/x b/x\nindex 0..1\nGIT binary patch\nliteral 1\nIc$@<k3jhEB\n\n"
    named = 'Not in this patch: "a\\011b" (pipe)\n'
    parts = [scratch, named, PATCH, old, binary]
    task = task_facts(task_id="polyglot/twin", scratch_files=[".aider*"])

    made = prediction(source(tmp_path / "b", patch="".join(parts).encode(), task=task))

    assert made.line["model_patch"] == PATCH + binary
    assert made.left_out == [".aider.tags/db", "a\tb", "old"]


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        (None, r"has no changes\.patch, so there is no prediction"),
        (PATCH.encode().replace(b"new", b"\xff"), r"changes\.patch: is not UTF-8"),
    ],
)
def test_an_unknown_patch_is_not_an_empty_one(
    tmp_path: Path, patch: bytes | None, says: str
) -> None:
    """A patch that is missing or no text is an error: an empty one would be evaluated, and fail."""
    with pytest.raises(BadRecord, match=says):
        prediction(source(tmp_path / "b", patch=patch))


def test_a_huge_patch_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch past the limit of a bundle's files is not read."""
    found = source(tmp_path / "b")
    monkeypatch.setattr("cab.scoring.files.MAX_FILE_BYTES", 10)
    with pytest.raises(BadRecord, match="bytes are over the limit of 10"):
        prediction(found)
