from pathlib import Path

import pytest

from cab.scoring.errors import BadRecord
from cab.scoring.exports.swebench import prediction
from tests.scoring.exports.cells import PATCH, cell_id, source


def test_a_prediction_has_the_three_members_that_the_harness_reads(tmp_path: Path) -> None:
    """Instance, who made it, and the patch as it is; the run is not part of them."""
    found = source(tmp_path / "b", cell_id("django__django-11099", run=2))
    assert prediction(found) == {
        "instance_id": "django__django-11099",
        "model_name_or_path": "scripted/lab/demo",
        "model_patch": PATCH,
    }


def test_a_patch_is_passed_on_to_the_byte(tmp_path: Path) -> None:
    """Carriage returns and letters of other alphabets come through; nothing changed is an empty text."""
    text = PATCH.replace("+new", "+n\u00eb\u00f6\r")
    assert prediction(source(tmp_path / "a", patch=text.encode()))["model_patch"] == text
    assert prediction(source(tmp_path / "b", patch=b""))["model_patch"] == ""


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
